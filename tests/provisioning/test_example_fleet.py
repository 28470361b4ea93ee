"""The example inventory: each of its devices is made from the bucket that it names, with an account of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.fakes.device import Workbench
from tests.fakes.seaweed import BUCKET, READER, serving, upload
from tests.fakes.store import publish_store
from tests.provisioning.test_playbooks import ANSIBLE, options, read, tasks

EXAMPLE = ANSIBLE / "inventories" / "example"


def command_of(variables: dict[str, str], places: dict[str, str]) -> list[str]:
    """The command by which the role makes a device, with an inventory's variables and these places for those of the card."""
    [block] = [task for task in read(ANSIBLE / "roles/appliance/tasks/commission.yml") if task["name"] == "Make it"]
    words = [re.sub(r"\{\{ (\w+) \}\}", lambda found: variables[found[1]], word) for word in block["vars"]["__appliance_init"]]
    for place, instead in places.items():
        words = [word.replace(place, instead) for word in words]
    return words


@pytest.mark.slow
def test_each_device_of_the_example_is_made_from_its_bucket_by_the_command_of_its_role(tmp_path: Path) -> None:
    """A real SeaweedFS, the key that may only read, and after the command a pull; no secret is in what it wrote."""
    given, defaults = read(EXAMPLE / "group_vars/devices/main.yml"), read(ANSIBLE / "roles/appliance/defaults/main.yml")
    assert given["appliance_store"] == f"s3://{BUCKET}/store" and given["appliance_store_endpoint"].startswith("http://")
    published = publish_store(tmp_path / "store")
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "appliance.yml").write_text(yaml.safe_dump({"accept_unproven": True}))
    day = published.sessions(1)[0]
    with serving(tmp_path / "weed") as server:
        upload(server, published.root)
        variables = {**defaults, **given, "appliance_store_endpoint": server.endpoint}
        for host in read(EXAMPLE / "hosts.yml")["devices"]["hosts"]:
            secrets = dict.fromkeys(given["appliance_credentials"], "https://127.0.0.1:9/nowhere")
            secrets |= {
                "s3-key-id": READER[0],
                "s3-secret-key": READER[1],
                "alpaca-key-id": f"PK{host}",
                "alpaca-secret-key": f"{host}-canary",
            }
            folder, bench = tmp_path / f"{host}.credentials", Workbench(tmp_path / host)
            folder.mkdir(mode=0o700)
            for name, secret in secrets.items():
                (folder / name).write_text(secret)
            places = {
                "/etc/appliance/root.pub": str(published.trust),
                "/etc/appliance/configs": str(tmp_path / "configs"),
                "/var/lib/appliance": str(bench.state),
            }
            words = command_of(variables, places)
            environment = {**os.environ, "CREDENTIALS_DIRECTORY": str(folder)}
            done = subprocess.run([sys.executable, "-m", "appliance", *words], env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            pulled = bench("pull", "--session", str(day), "--credentials", str(folder))
            assert pulled.code == 0, pulled.err
            config = (bench.state / "config.yml").read_text()
            assert f"s3://{BUCKET}/store" in config and server.endpoint in config
            written = b"".join(path.read_bytes() for path in bench.state.rglob("*") if path.is_file())
            assert READER[1].encode() not in written and f"{host}-canary".encode() not in written


def test_its_training_host_publishes_into_that_bucket_with_a_key_of_its_own() -> None:
    trainers, devices = (read(EXAMPLE / f"group_vars/{group}/main.yml") for group in ("trainers", "devices"))
    assert trainers["trainer_store"] == devices["appliance_store"]
    assert trainers["trainer_settings"]["endpoint"] == devices["appliance_store_endpoint"]
    pair = ("s3-key-id", "s3-secret-key")
    assert {trainers["trainer_credentials"][name] for name in pair}.isdisjoint(devices["appliance_credentials"][name] for name in pair)
    assert (EXAMPLE / "group_vars/trainers/vault.yml").read_text(encoding="utf-8").startswith("$ANSIBLE_VAULT;1.1;AES256")
    assert set(trainers) - {"trainer_sources"} <= set(options(ANSIBLE / "roles/trainer"))
    names = [task["name"] for task in tasks(ANSIBLE / "roles/trainer/tasks/main.yml")]
    assert names.index("Make the workspace, unless there is one") < names.index("Say where devices pull from")
