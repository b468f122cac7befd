"""VMware's .vmx files: to domains and back."""

from engine.vmx.files import FileNames
from engine.vmx.reading import read_vmx
from engine.vmx.writing import write_vmx

__all__ = ["FileNames", "read_vmx", "write_vmx"]
