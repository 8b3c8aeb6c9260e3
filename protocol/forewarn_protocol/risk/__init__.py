"""Rules that turn matches into a verdict with its reason, one file a rule, and the configuration that picks one."""

from forewarn_protocol.risk.configuration import RiskConfiguration, Rule
from forewarn_protocol.risk.judging import counts, judge
from forewarn_protocol.risk.verdict import Likelihood, Verdict

__all__ = ["Likelihood", "RiskConfiguration", "Rule", "Verdict", "counts", "judge"]
