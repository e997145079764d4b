"""Tests mirror the tree. A package, since a dependency installs one of this name too."""
