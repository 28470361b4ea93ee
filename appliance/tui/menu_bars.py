"""The bar of screen names at the top, and the bar of keys at the bottom."""

from textual.binding import Binding
from textual.content import Content
from textual.reactive import reactive
from textual.widgets import Static

from appliance.tui.screens import DEEPER, SCREENS

Parts = list[str]


class ScreenBar(Static):
    """The bar of screens; its one input is the name of the one in front."""

    current: reactive[str] = reactive("overview")

    def render(self) -> str:
        """Keys and names; the one in front in full and marked."""
        width = self.app.size.width - 2
        wide, narrow = self._drawn("  ", use_titles=True), self._drawn(" ", use_titles=False)
        return wide if Content.from_markup(wide).cell_length <= width else narrow

    def _drawn(self, gap: str, *, use_titles: bool) -> str:
        parts: Parts = []
        for screen in SCREENS:
            name = screen.title if use_titles else screen.short
            if screen.name == self.current:
                parts.append(f"[b reverse]{screen.key} {name}[/]")
            else:
                parts.append(f"[@click=app.show('{screen.name}')]{screen.key} {name}[/]")
        parts += [f"[b reverse]{screen.short}[/]" for screen in DEEPER if screen.name == self.current]
        return gap.join(parts)


class KeyBar(Static):
    """The keys that work on the screen in front, whose name is its one input."""

    current: reactive[str] = reactive("overview")

    def render(self) -> Content:
        """Keys and what they do; a click on one is the key."""
        found = [Content("")]
        for binding in self.app.BINDINGS:
            if isinstance(binding, Binding) and binding.show and self._works(binding):
                found.append(
                    Content.from_markup(
                        f"[b $footer-key-foreground]$key[/][@click=app.simulate_key('{binding.key}')] $what[/]",
                        key=binding.key_display or binding.key,
                        what=binding.description,
                    )
                )
        return Content(" ").join(found[1:])

    def _works(self, binding: Binding) -> bool:
        return bool(self.app.check_action(binding.action.partition("(")[0], ()))
