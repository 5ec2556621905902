"""The table layer as its users meet it: each file is one area, each name one claim."""
