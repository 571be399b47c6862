"""The chat window for Jupyter and Voila, made of core ipywidgets 7 or 8: `ChatApp(model)` shows itself."""

from minivl.widgets.app import ChatApp

__all__ = ["ChatApp"]
