"""What an alert tells a person: what to do and whom to call, per region and language, signed by the authority."""

from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from forewarn_protocol.errors import BadFeed
from forewarn_protocol.feeds import Feed, FeedPart, Region
from forewarn_protocol.wire import Items, parse_json

MAX_ADVICE_BYTES: Final = 64 * 1024
Language = Literal["vi", "en"]
LANGUAGES: Final[tuple[Language, ...]] = ("vi", "en")

Sentence = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$")]
# Only web pages: what stands here becomes a link on the person's own device.
WebAddress = Annotated[str, Field(max_length=300, pattern=r"^https://[^\s\x00-\x1f\x7f]+$")]
Telephone = Annotated[str, Field(pattern=r"^[+0-9][0-9 ()-]{1,29}$")]


class Contact(FeedPart):
    """Somebody to call: name, telephone, and when they answer."""

    name: Sentence
    phone: Telephone
    hours: Sentence


class AdviceText(FeedPart):
    """The advice in one language."""

    title: Sentence
    steps: Items[Sentence] = Field(min_length=1, max_length=20)
    call: Items[Contact] = Field(min_length=1, max_length=10)
    url: WebAddress | None = None


class Advice(Feed):
    """A region's advice in every language that Forewarn speaks."""

    region: Region
    texts: dict[Language, AdviceText]

    @model_validator(mode="after")
    def _speaks_all_languages(self) -> Self:
        if missing := set(LANGUAGES) - set(self.texts):
            raise ValueError(f"the advice lacks the language {min(missing)}")
        return self

    def text(self, language: Language) -> AdviceText:
        """Return the advice in one language."""
        return self.texts[language]


def parse_advice(body: bytes) -> Advice:
    """Read an advice feed whose signature was verified.

    Raises:
        BadFeed: larger than 64 kB, no JSON, or no advice.
    """
    return parse_json(Advice, body, error=BadFeed, limit_bytes=MAX_ADVICE_BYTES)
