"""Two links that save the conversation: they hold it, so that nothing has to be served."""

from __future__ import annotations

from typing import Any

from minivl.transcript import as_json, as_text
from minivl.widgets.look import data_uri


def links(conversation: dict[str, Any]) -> str:
    """HTML with two links; "" while there is nothing to save. conversation: as transcript.as_dict gives it."""
    if not conversation["turns"]:
        return ""
    files = (
        ("text", "conversation.txt", "text/plain;charset=utf-8", as_text(conversation)),
        ("JSON", "conversation.json", "application/json", as_json(conversation)),
    )
    found = [
        f'<a class="minivl-export" download="{file}" href="{data_uri(content.encode(), kind)}">{name}</a>'
        for name, file, kind, content in files
    ]
    return f"Save the conversation as {' or '.join(found)}"
