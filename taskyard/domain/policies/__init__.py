"""Load-balancing policies, by name. A new one is a class in a file here and a line in `POLICIES`."""

from taskyard.domain.policies.base import Chooser, Policy
from taskyard.domain.policies.least_connections import LeastConnections
from taskyard.domain.policies.response_time import ResponseTime
from taskyard.domain.policies.round_robin import RoundRobin, WeightedRoundRobin
from taskyard.domain.policies.weighted_random import WeightedRandom

POLICIES: dict[str, Policy] = {
    policy.name: policy
    for policy in (WeightedRoundRobin(), RoundRobin(), LeastConnections(), ResponseTime(), WeightedRandom())
}
DEFAULT_POLICY = WeightedRoundRobin.name

__all__ = ["DEFAULT_POLICY", "POLICIES", "Chooser", "Policy"]
