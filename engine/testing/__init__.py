"""What driver authors import: the contract every driver passes."""

from engine.testing.contract import CHECKS, DriverSetup, check_driver, checks_for

__all__ = ["CHECKS", "DriverSetup", "check_driver", "checks_for"]
