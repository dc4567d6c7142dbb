"""The steps of the check, in the order in which they run: what all others rest on comes first."""

from tools.gpu_check.bench import Step
from tools.gpu_check.steps.machine import doctor, install, look
from tools.gpu_check.steps.runs import frameworks, gpu_suite, identical, kernels, suites
from tools.gpu_check.steps.tests import agreement, energy, gpu_tests, reports
from tools.gpu_check.steps.traps import traps

STEPS = (
    Step("install", install, limit_s=60, least_s=5, is_required=True),
    Step("look", look, limit_s=120, least_s=20, is_required=True),
    Step("agreement", agreement, limit_s=100, least_s=30),
    Step("tests", gpu_tests, limit_s=120, least_s=40),
    Step("suites", suites, limit_s=180, least_s=30),
    Step("identical", identical, limit_s=75, least_s=30),
    Step("gpu", gpu_suite, limit_s=110, least_s=40),
    Step("kernels", kernels, limit_s=80, least_s=30),
    Step("traps", traps, limit_s=150, least_s=40),
    Step("frameworks", frameworks, limit_s=60, least_s=30),
    Step("reports", reports, limit_s=60, least_s=10),
    Step("doctor", doctor, limit_s=110, least_s=30),
    Step("energy", energy, limit_s=70, least_s=55),
)
