"""A badge in two minutes: from one site.toml to the folders that go onto forty SD cards, and the labels to print."""
