"""Views: how one sample of a feature panel looks to a model. `VIEWS` is the register.

A view gathers rows lazily, so that windows over a whole history never exist as one array. The trainer gathers the rows
that it learns from and a device gathers its newest row with the same function.
"""

from typing import Annotated

from pydantic import Field

from signals.views.sample_views import BarImageView, ImageView, SessionBarsView, SeveralWindowsView, TableView, WindowsView

View = Annotated[TableView | WindowsView | SeveralWindowsView | SessionBarsView | ImageView | BarImageView, Field(discriminator="kind")]
"""Any view; as a field of a document, `kind` says which."""

VIEWS = {view.kind: view for view in (TableView, WindowsView, SeveralWindowsView, SessionBarsView, ImageView, BarImageView)}

__all__ = ["VIEWS", "BarImageView", "ImageView", "SessionBarsView", "SeveralWindowsView", "TableView", "View", "WindowsView"]
