"""Classical samplers for the joint-distribution tests (`joint`, `joint_crossed`)."""

from typing import Any

import joint
import joint_crossed
import numpy as np
from joint import MOVES, Load

STEP = 0.7  # scale of the walks, which these tests do not tune

Blocks = dict[Any, Any]

CHOICES: dict[str, Blocks] = {
    "classical": {},
    "classical, walks": {
        "beta": "random_walk",
        "u": "random_walk",
        "Sigma": "random_walk",
    },
    "classical, walks and centring": {"beta": "random_walk+centred", "u": "random_walk"},
    "classical, exact": {"beta": "conjugate", "u": "conjugate", "sigma": "conjugate"},
    "classical, sds noncentred": {"Sigma": ["random_walk", "noncentred"]},
    "classical, noncentred alone": {"Sigma": "noncentred"},
    "classical, iwls alone": {"beta": "iwls", "u": "iwls"},
    "classical, slices": {"beta": "slice", "Sigma": "slice"},
    "classical, parts": {"x": "random_walk", ("Intercept",): ["iwls", "slice"]},
    "classical, all walks, sigma": {"beta": "random_walk", "sigma": "random_walk"},
    "classical, all walks, sigma and exact": {
        "beta": "random_walk",
        "u": "random_walk",
        "sigma": "conjugate",
    },
    "classical, all walks, size": {"size": "random_walk"},
    "classical, all walks, shape": {"shape": "random_walk", "u": "random_walk"},
}


class Classical:
    """Metropolis within Gibbs by blocks, with proposals that have not seen the responses."""

    def __init__(self, model, load: Load, blocks: Blocks) -> None:
        density, made, choice = load("density"), load("classical_program"), load("blocks")
        data = model.problem.data
        p, m = data.obs.X.shape[0], data.prior.covariance.row.size
        d = p + m + data.prior.phi.shape[0]
        nv = int(sum(data.levels[f] for f in data.factor))
        map = density.identity_map(d, nv)
        chosen = choice.asked(blocks)
        walks = any("random_walk" in methods for _, methods in chosen)
        program = made.ClassicalProgram(
            model,
            map,
            np.eye(d),
            int(walks),
            chosen=chosen,
            nbi=0,
            ntu=1,
            maxtune=1,
            propcov="ind",
        )
        state = program.start(np.array([11, 0], dtype=np.uint64), 0)
        state["tuning_scale"][:] = STEP
        state["tuning_level"][0] = STEP
        self.program, self.state, self.data = program, state, program.data
        self.new = load("conditionals.classical_state").NEW
        self.out = [np.empty((MOVES, k)) for k in (d, nv, len(program.stats))]

    def begin(self, theta: np.ndarray, v: np.ndarray) -> None:
        """Set the state."""
        self.state["theta"][:], self.state["u"][:] = theta, v

    def step(self) -> tuple[np.ndarray, np.ndarray]:
        """Move given the responses that are in the data now; return theta and u inside."""
        self.state["flag"][0] = self.new
        self.program.advance(self.state, MOVES, *self.out, self.program.warmup)
        return self.out[0][-1], self.out[1][-1]


def _made(blocks: Blocks):
    return lambda model, load: Classical(model, load, blocks)


def register() -> None:
    """Add the choices of blocks to the samplers of the joint-distribution tests."""
    for name, blocks in CHOICES.items():
        joint.SAMPLERS[name] = _made(blocks)
        joint_crossed.SAMPLERS[name] = _made(blocks)
