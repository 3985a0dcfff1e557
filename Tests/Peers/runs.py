"""Runs one measurement as a process of its own: environment, cores, time, what came of it."""

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PEERS = Path(__file__).resolve().parent

# What would choose kernels, threads or allocators for either side.
CLEARED = ("OPENBLAS_", "GOTO_", "BLIS_", "OMP_", "GOMP_", "KMP_", "MKL_", "ONEDNN_", "DNNL_",
           "ATEN_", "TORCH_", "PYTORCH_", "MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD", "REPVGG_")


@dataclass
class Outcome:
    """What a process printed, or why it printed nothing."""

    figures: dict | None
    failure: str = ""

    def __bool__(self):
        return self.figures is not None


class Runner:
    """Starts our program and the peer's scripts on chosen cores."""

    def __init__(self, program, cores, timeout):
        self.program = program
        self.cores = cores
        self.timeout = timeout
        self.log = []
        self.pictures = None

    def ours(self, arguments, ranks=1, threads=1, cores=None):
        """`repvgg ARGUMENTS --json`; more ranks than one under mpirun."""
        cores = self.cores[:cores] if cores else self.cores
        command = [self.program, *arguments, "--json"]
        if ranks > 1:
            command = ["mpirun", "--oversubscribe", "--bind-to", "none", "-np", str(ranks),
                       *command]
        environment = self.mpi_environment(ranks, threads, cores)
        return self.run(command, cores, environment | {"MPIEXEC_TIMEOUT": str(self.timeout)})

    def peer(self, script, arguments, cores=None):
        """A script of this directory, in the Python that runs this one."""
        cores = self.cores[:cores] if cores else self.cores
        return self.run([sys.executable, str(PEERS / script), *arguments], cores, {})

    def jpegs(self):
        """The directory of sample_jpegs.py's files, made when first asked for and then kept."""
        if self.pictures is None:
            self.pictures = Path(sys.prefix) / "jpegs"
            subprocess.run(
                [sys.executable, str(PEERS / "sample_jpegs.py"), str(self.pictures)], check=True)
        return self.pictures

    def model(self, name):
        """The directory of make_model.py's files, made when first asked for and then kept."""
        directory = Path(sys.prefix) / "models"
        if not (directory / f"{name}-deploy.onnx").exists():
            # Where that fails, so does whoever wants to read them, and says so in its row.
            subprocess.run(
                [sys.executable, str(PEERS / "make_model.py"), self.program, name, str(directory)],
                check=False)
        return directory

    def mpi_environment(self, ranks, threads, cores):
        """What launch/environment.sh tells Open MPI."""
        text = (f"source launch/environment.sh; set_mpi_environment {ranks} {threads}; "
                'printf "%s\\n" "${mpi_environment[@]}"')
        lines = subprocess.run(
            pinned(["bash", "-euc", text], cores), cwd=ROOT, env=clean_environment(), check=True,
            capture_output=True, text=True).stdout.split()
        return dict(line.split("=", 1) for line in lines)

    def run(self, command, cores, environment):
        outcome = execute(pinned(command, cores), clean_environment() | environment, self.timeout)
        self.log.append({
            "command": readable(" ".join(command)), "cores": len(cores),
            "figures": outcome.figures, "failure": outcome.failure})
        return outcome


def pinned(command, cores):
    return ["taskset", "-c", ",".join(map(str, cores)), *command]


def clean_environment():
    return {name: value for name, value in os.environ.items() if not name.startswith(CLEARED)}


def execute(command, environment, timeout):
    """Runs the command in a session of its own and leaves nothing of it behind."""
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        output, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        return Outcome(None, f"not done after {timeout} s")
    finally:
        end(process)
    if process.returncode < 0 or process.returncode > 128:
        code = process.returncode
        return Outcome(None, f"crashed, signal {-code if code < 0 else code - 128}")
    if process.returncode:
        return Outcome(None, f"exit code {process.returncode}: {last_line(errors)}")
    try:
        return Outcome(json.loads(output.strip().splitlines()[-1]))
    except (IndexError, json.JSONDecodeError):
        return Outcome(None, f"printed no figures: {last_line(output)}")


def end(process):
    """First with a request, because mpirun and train_ddp.py end what they started."""
    for request in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, request)
        except ProcessLookupError:
            break
        try:
            process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            continue


def last_line(text):
    """The program's own words where there are some, not what mpirun adds."""
    lines = [line for line in text.splitlines() if re.search("[a-z]", line)]
    own = [line for line in lines if re.match(r"(repvgg|train_ddp\.py): ", line)]
    return readable((own or lines)[-1])[:160] if lines else "it said nothing"


def readable(text):
    """Without the places of this machine, which nobody else has."""
    for place, name in ((sys.executable, "python"), (f"{ROOT}/", ""), (sys.prefix, "environment"),
                        (str(Path.home()), "~")):
        text = text.replace(place, name)
    return " ".join(
        Path(word).name if word.startswith("/") else word for word in text.split(" "))
