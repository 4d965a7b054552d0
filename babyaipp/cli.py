"""Command line."""


def main() -> None:
    """To come."""
