"""What driver authors import: the contract every driver passes."""

from engine.testing.contract import CHECKS, DriverSetup, check_driver

__all__ = ["CHECKS", "DriverSetup", "check_driver"]
