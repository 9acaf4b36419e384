import pytest

from trtreg import _complaints
from trtreg.flavour import Message

NO_DRIVER = (
    "[checkMacros.cpp::catchCudaError::250] Error Code 1: Cuda Runtime (In catchCudaError at "
    "/_src/common/dispatch/checkMacros.cpp:250 (cudaError 35: CUDA driver version is insufficient))"
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("WeightsContext.cpp:203: Failed to open file: /a/w", "Failed to open file: /a/w"),
        ("Assertion failed: plugin: Could not create the plugin.", "plugin: Could not create the plugin."),
        (
            "In node -1 with name:  and operator:  (importInitializers): UNSUPPORTED_NODE: Assertion failed: a: b",
            "a: b",
        ),
        ("one\n  two", "one two"),
        (
            "Error Code 4: API Usage Error (bad shape. In validate at /_src/a/b.cpp:12)",
            "Error Code 4: API Usage Error (bad shape.)",
        ),
        (NO_DRIVER, ""),
        (f"first\n{NO_DRIVER}", "first"),
        ('ModelImporter.cpp:140: While parsing node number 0 [Foo -> "y"]:', ""),
        ("ModelImporter.cpp:142: --- Begin node ---\nName", ""),
        ("ModelImporter.cpp:151: ERROR: x.cpp:1 In function f:\n[6] g", ""),
        ("(deserializeOnnxModel): MODEL_DESERIALIZE_FAILED", ""),
    ],
)
def test_what_only_developers_need_is_left_out(text, expected):
    assert _complaints.readable(text) == expected


def test_errors_are_given_once_and_in_order():
    said = [
        Message(severity=severity, text=text)
        for severity, text in [
            ("warning", "w"), ("error", "b"), ("internal_error", "a"), ("error", "b"), ("error", NO_DRIVER)
        ]
    ]  # fmt: skip
    assert _complaints.errors(said) == ["b", "a"]
