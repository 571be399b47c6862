"""How the window looks: its style sheet, and the few lines of HTML that all of its parts are made of."""

from __future__ import annotations

import base64
import io
from html import escape
from typing import TypeVar

import ipywidgets as widgets
from matplotlib.figure import Figure

BLUE, ORANGE = "#0072b2", "#d55e00"  # Okabe and Ito's, told apart by every kind of colour vision
DPI = 80  # pixels of a figure's inch

STYLE = """<style>
.minivl-app {max-width: 1040px; box-sizing: border-box; line-height: 1.4; gap: 10px; overflow: visible;
  color: var(--jp-ui-font-color1, #222); font-family: var(--jp-ui-font-family, system-ui, sans-serif); font-size: 14px}
.minivl-app .widget-html-content, .minivl-app .jupyter-widgets.widget-html > .widget-html-content {line-height: 1.4;
  font-size: 14px; align-self: stretch; width: 100%}
.minivl-app .jupyter-widgets {margin-left: 0; margin-right: 0}
.minivl-card {border: 1px solid var(--jp-border-color2, #d0d0d0); border-radius: 8px; padding: 10px 12px;
  box-sizing: border-box; overflow: hidden}
.minivl-top {display: flex; flex-flow: row wrap; gap: 18px; overflow: hidden}
.minivl-source {flex: 0 0 270px; width: 270px; gap: 2px; overflow: hidden}
.minivl-views {flex: 1 1 420px; min-width: 0; overflow: hidden}
.minivl-app .widget-dropdown, .minivl-app .widget-text {width: 100%}
.minivl-app .widget-upload {width: 100%}
.minivl-app .widget-checkbox {width: auto; margin-right: 14px}
.minivl-app .lm-TabBar-tab, .minivl-app .p-TabBar-tab {flex: 0 0 auto; max-width: none; min-width: 60px}
.minivl-player video, .minivl-player img {display: block; width: 100%; max-height: 210px; object-fit: contain;
  background: #00000010; border-radius: 4px}
.minivl-player audio {display: block; width: 100%}
.minivl-hint, .minivl-app .minivl-hint.jupyter-widgets > .widget-html-content {font-size: 12px; line-height: 1.35;
  color: var(--jp-ui-font-color2, #666); margin: 2px 0}
.minivl-app .minivl-hint a {color: var(--jp-content-link-color, #0b5cad); text-decoration: underline}
.minivl-frames {display: grid; grid-template-columns: repeat(4, minmax(0, 140px)); gap: 6px 10px; margin: 2px 0}
.minivl-frames figure {margin: 0; text-align: center; font-size: 12px}
.minivl-frames img {width: 100%; display: block; border-radius: 3px; image-rendering: auto}
.minivl-wide {overflow-x: auto}
.minivl-wide img {display: block; width: 100%; max-width: 900px}
.minivl-fit {overflow-x: auto}
.minivl-fit img {display: block; width: 100%; min-width: 600px; max-width: 800px; height: auto}
.minivl-off {opacity: 0.35}
.minivl-heading {font-weight: 600; margin: 0 0 2px 0}
.minivl-app .minivl-log {min-height: 180px; max-height: 72vh; overflow-x: hidden; overflow-y: auto; display: flex;
  flex-direction: column-reverse; border: 1px solid var(--jp-border-color2, #d0d0d0); border-radius: 6px;
  padding: 8px 12px; box-sizing: border-box}
.minivl-app .minivl-said {flex: 0 0 auto; margin-bottom: auto; overflow: visible; width: 100%}
.minivl-exchange {overflow: visible; padding-bottom: 8px}
.minivl-app .minivl-trace-button {align-self: flex-start; width: auto; margin-top: 3px}
.minivl-app .minivl-question {align-self: flex-end; max-width: 80%; height: auto; border-radius: 12px 12px 2px 12px;
  padding: 4px 12px; background: var(--jp-layout-color2, #eee)}
.minivl-app .minivl-answer {max-width: 85%; height: auto; border-radius: 12px 12px 12px 2px; padding: 4px 12px;
  align-self: flex-start; border: 1px solid var(--jp-border-color2, #d0d0d0)}
.minivl-app .minivl-question .widget-html-content, .minivl-app .minivl-answer .widget-html-content {
  overflow-wrap: anywhere; white-space: pre-wrap}
.minivl-note {color: var(--jp-ui-font-color2, #666); font-size: 12px; text-align: center; margin: 4px 0;
  border-top: 1px dashed var(--jp-border-color2, #bbb); padding-top: 4px}
.minivl-app .minivl-status .widget-html-content {font-size: 13px}
.minivl-error {color: var(--jp-error-color0, #b00020); font-weight: 500}
.minivl-line {display: flex; gap: 8px; align-items: center; overflow: hidden}
.minivl-line .minivl-ask {flex: 1 1 auto; width: auto}
.minivl-app .minivl-buttons {display: flex; flex-flow: row wrap; gap: 8px; align-items: center; overflow: hidden}
.minivl-app .minivl-sliders {display: grid; grid-template-columns: repeat(auto-fit, minmax(300px, 1fr));
  overflow: hidden}
.minivl-sliders .widget-slider {width: 100%}
.minivl-app .minivl-trace {overflow: hidden; border-left: 3px solid #0072b2; padding-left: 10px; margin-top: 4px}
.minivl-trace table {border-collapse: collapse; margin: 2px 0 6px 0}
.minivl-trace td, .minivl-trace th {padding: 1px 12px 1px 0; text-align: left; font-weight: normal}
.minivl-prompt {font-family: var(--jp-code-font-family, monospace); font-size: 13px; line-height: 2;
  overflow-wrap: anywhere}
.minivl-piece {padding: 2px 5px; border-radius: 4px; background: var(--jp-layout-color2, #eee)}
.minivl-slots {padding: 2px 6px; border-radius: 4px; color: #fff; white-space: nowrap}
.minivl-slots i {display: inline-block; width: 5px; height: 11px; margin-left: 2px; background: #fff;
  vertical-align: -1px}
.minivl-slots i:first-child {margin-left: 7px}
.minivl-word {display: inline-block; margin: 0 8px 4px 0; padding: 1px 7px; border-radius: 4px;
  border: 1px solid var(--jp-border-color2, #d0d0d0)}
</style>"""

Described = TypeVar("Described", bound=widgets.DOMWidget)


def explained(widget: Described, text: str) -> Described:
    """Give a widget a tooltip, which is also what a screen reader says.

    ipywidgets 7 has tooltips for buttons, and calls that of other widgets description_tooltip.
    """
    name = "tooltip" if widget.has_trait("tooltip") else "description_tooltip"
    if widget.has_trait(name):
        widget.set_trait(name, text)
    return widget


def html(text: str, *classes: str) -> widgets.HTML:
    """An HTML widget with CSS classes."""
    made = widgets.HTML(text)
    for name in classes:
        made.add_class(name)
    return made


def picture(figure: Figure, alt: str) -> str:
    """A figure as an <img> in its natural size."""
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=DPI)
    return f'<img src="{data_uri(png.getvalue(), "image/png")}" alt="{escape(alt)}">'


def data_uri(content: bytes, kind: str) -> str:
    """Bytes as an address that holds them: nothing has to be served."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
