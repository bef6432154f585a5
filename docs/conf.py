"""The site: `make docs` builds it into `build/docs`; any warning is an error."""

from importlib.metadata import version as version_of

project = "switchgear"
copyright = "the switchgear maintainers"  # noqa: A001 - Sphinx's name
version = release = version_of("switchgear")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.intersphinx"]
source_suffix = {".md": "markdown"}
root_doc = "index"

html_theme = "furo"
html_title = "switchgear"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4  # the anchors that code hosts make, so that links work there and here

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
intersphinx_mapping: dict[str, tuple[str, None]] = {}  # the build needs no network

# What the pages link to outside of the site: files of the repository.
suppress_warnings = ["myst.xref_missing"]
default_role = "code"  # docstrings write `code` as Markdown does
exclude_patterns = ["gateway.schema.json"]
