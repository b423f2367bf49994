"""The section of the settings about notifications: who is told of what, and who may ask.

Invariant: an address is a secret as a whole, as any part of it may be a token.
"""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, field_validator, model_validator

from executor.settings.sections import Secret, Section, lower, names
from executor.settings.urls import https_or_loopback_url, split_urls

TelegramUser = Annotated[str, Field(pattern=r"^[0-9]{1,20}$")]


class NotifySettings(Section):
    """Who is told of what: addresses in Apprise's form, several with commas, blanks or lines between them."""

    urls: Secret = SecretStr("")
    level: Annotated[Literal["info", "warning", "critical"], BeforeValidator(lower)] = "warning"
    telegram_token: Secret = SecretStr("")  # of a bot that answers; its own addresses are in `urls`
    telegram_users: Annotated[frozenset[TelegramUser], BeforeValidator(names)] = frozenset()
    telegram_api: Annotated[str, AfterValidator(https_or_loopback_url)] = "https://api.telegram.org"

    @field_validator("urls")
    @classmethod
    def _are_urls(cls, value: SecretStr) -> SecretStr:
        for number, url in enumerate(split_urls(value.get_secret_value()), start=1):
            if "://" not in url:
                raise ValueError(f"should be URLs in Apprise's form, as in mailto://...; number {number} is none")
        return value

    @model_validator(mode="after")
    def _somebody_may_ask(self) -> Self:
        if bool(self.telegram_token.get_secret_value()) != bool(self.telegram_users):
            raise ValueError(
                "EXECUTOR_NOTIFY__TELEGRAM_TOKEN and EXECUTOR_NOTIFY__TELEGRAM_USERS should both be given, or neither: "
                "a bot answers only the users that are listed, by their numeric ids"
            )
        return self

    @property
    def addresses(self) -> tuple[str, ...]:
        """The URLs, each once."""
        return tuple(dict.fromkeys(split_urls(self.urls.get_secret_value())))
