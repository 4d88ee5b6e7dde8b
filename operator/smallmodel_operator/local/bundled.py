"""The catalogue that ships inside the package."""

from importlib import resources

from smallmodel_operator.catalog.cards import Catalog, parse_cards


def fetch_bundled_cards() -> Catalog:
    """Read the cards that lie beside the `catalog` room.

    Raises:
        CardError: A card is broken; the tests of the catalogue keep that from being shipped.
    """
    folder = resources.files("smallmodel_operator.catalog") / "cards"
    return parse_cards(
        {
            entry.name: entry.read_text(encoding="utf-8")
            for entry in folder.iterdir()
            if entry.name.endswith(".yaml")
        }
    )
