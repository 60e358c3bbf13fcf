"""Terraform with its AWS provider, where the machine has both: apply, no drift, destroy."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.conftest import Elba


def provider_mirror() -> Path:
    """The folder of a local mirror that holds Terraform's AWS provider: named, or where such mirrors are kept.

    A folder that is not there if there is none.
    """
    if named := os.environ.get("ELBA_TERRAFORM_PLUGINS"):
        return Path(named)
    shared = [Path.home() / ".terraform.d/plugins", Path("/usr/local/share/terraform/plugins")]
    for folder in (*shared, *sorted(Path("/opt").glob("*plugins*"))):
        if any(folder.glob("*/hashicorp/aws")):
            return folder
    return shared[0] / "no-mirror-holds-it"


PLUGINS = provider_mirror()
TERRAFORM = shutil.which("terraform")

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        TERRAFORM is None or not PLUGINS.is_dir(), reason="terraform or a mirror of its AWS provider is not installed"
    ),
]

STACK = Path(__file__).parents[2] / "examples" / "terraform" / "main.tf"


class Terraform:
    def __init__(self, elba: Elba, directory: Path) -> None:
        self._directory = directory
        settings = directory / "terraform.rc"
        settings.write_text(f'provider_installation {{\n  filesystem_mirror {{ path = "{PLUGINS}" }}\n}}\n')
        self._environment = {
            **elba.environment(),
            "TF_CLI_CONFIG_FILE": str(settings),
            "TF_IN_AUTOMATION": "1",
            "CHECKPOINT_DISABLE": "1",
        }

    def run(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> str:
        assert TERRAFORM is not None
        result = subprocess.run(
            [TERRAFORM, *arguments],
            cwd=self._directory,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        assert result.returncode in codes, f"terraform {arguments[0]}: {result.stdout[-4000:]}{result.stderr[-4000:]}"
        return result.stdout


def test_the_example_stack_applies_without_drift_and_is_destroyed(elba: Elba, tmp_path: Path) -> None:
    shutil.copy(STACK, tmp_path / "main.tf")
    terraform = Terraform(elba, tmp_path)
    terraform.run("init", "-no-color")
    terraform.run("apply", "-no-color", "-auto-approve")
    outputs = json.loads(terraform.run("output", "-json"))
    assert outputs["dns_name"]["value"].endswith(".elb.localhost")
    found = elba.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    assert [group["DesiredCapacity"] for group in found if group["AutoScalingGroupName"].startswith("tf-")] == [2]
    plan = terraform.run("plan", "-no-color", "-detailed-exitcode", codes=(0, 2))
    assert "No changes." in plan, f"drift: {plan[-3000:]}"
    terraform.run("destroy", "-no-color", "-auto-approve")
    assert elba.client("elbv2").describe_load_balancers()["LoadBalancers"] == []
