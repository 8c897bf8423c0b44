"""Puts the plugin's prompt tables into the package: an engine that is installed on a server lies alone."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

#: Where they are in the repository and in the plugin; an engine without them can be installed as well.
PROMPTS = Path(__file__).resolve().parents[1] / "resources" / "prompts"


class WithPrompts(build_py):
    """The usual build, and the tables beside the modules."""

    def run(self) -> None:
        """Build."""
        super().run()
        if not self.editable_mode and PROMPTS.is_dir():
            shutil.copytree(PROMPTS, Path(self.build_lib) / "sits_engine" / "prompts", dirs_exist_ok=True)


setup(cmdclass={"build_py": WithPrompts})
