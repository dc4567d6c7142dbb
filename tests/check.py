"""All checks in the order of their speed: formatting, lint, types, the layers contract, the tests.

python tests/check.py [arguments for pytest]
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = Path(sys.executable).parent


def main() -> int:
    """Run every check; stop at the first that fails."""
    python = sys.executable
    checks = [
        [python, "-m", "ruff", "format", "--check", "."],
        [python, "-m", "ruff", "check", "."],
        [python, "-m", "mypy"],
        [str(SCRIPTS / "lint-imports")],
        [python, "-m", "pytest", *sys.argv[1:]],
    ]
    for check in checks:
        print(f"$ {' '.join(map(str, check))}", flush=True)
        code = subprocess.run(check, cwd=ROOT, check=False).returncode
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
