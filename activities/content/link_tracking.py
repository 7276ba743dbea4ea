"""Opens and clicks: links of an HTML mail lead over ours, and an image says that it was opened."""

import hashlib
import html
import re
from dataclasses import dataclass

from campaigns.models.signing import Signing

# Only the attribute is replaced: parsing and writing anew would change what authors have made for old mail clients.
_HREF = re.compile(r"""(<a\b[^<>]*?\shref\s*=\s*)(?:"([^"]*)"|'([^']*)')""", re.IGNORECASE)
_BODY_END = re.compile(r"</body\s*>", re.IGNORECASE)


@dataclass(frozen=True)
class Tracked:
    """HTML with tracked links, and where each of them leads, by its id."""

    html: str
    links: dict[str, str]


def track(content: str, message_id: str, base_url: str, signing: Signing) -> Tracked:
    """The HTML with its web links over `/c/`, and an image from `/o/`. Links of our own, to unsubscribe, stay.

    Where a link leads is stored by a hash of the target, and never taken from the URL: nobody can forge a redirect.
    """
    links: dict[str, str] = {}

    def replaced(found: re.Match[str]) -> str:
        target = html.unescape(found[2] if found[2] is not None else found[3]).strip()
        if not target.lower().startswith(("http://", "https://")) or target.startswith(f"{base_url}/"):
            return found[0]
        link_id = hashlib.sha256(target.encode()).hexdigest()[:32]
        links[link_id] = target
        return f'{found[1]}"{base_url}/c/{signing.token("click", f"{message_id}.{link_id}")}"'

    tracked = _HREF.sub(replaced, content)
    image = f'<img src="{base_url}/o/{signing.token("open", message_id)}" width="1" height="1" alt="">'
    ends = list(_BODY_END.finditer(tracked))
    place = ends[-1].start() if ends else len(tracked)
    return Tracked(tracked[:place] + image + tracked[place:], links)
