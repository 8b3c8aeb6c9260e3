"""How a region's devices judge risk: which rule, and each rule's parameters."""

from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from forewarn_protocol.risk.cwa import CwaConfiguration
from forewarn_protocol.risk.gaen import GaenConfiguration
from forewarn_protocol.risk.minutes import MinutesConfiguration
from forewarn_protocol.windows import KeyMapping


class Rule(StrEnum):
    """The rule that decides about an alert."""

    MINUTES = "minutes"
    GAEN = "gaen"
    CWA = "cwa"


class RiskConfiguration(BaseModel):
    """The rule in force and the parameters of all of them; unknown fields are ignored, so that it can grow."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    rule: Rule = Rule.MINUTES
    mapping: KeyMapping = Field(default_factory=KeyMapping)
    minutes: MinutesConfiguration = Field(default_factory=MinutesConfiguration)
    gaen: GaenConfiguration = Field(default_factory=GaenConfiguration)
    cwa: CwaConfiguration | None = None

    @model_validator(mode="after")
    def _rule_is_configured(self) -> Self:
        if self.rule is Rule.CWA and self.cwa is None:
            raise ValueError("the rule cwa needs its parameters under cwa")
        return self
