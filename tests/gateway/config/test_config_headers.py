"""`headers`: what is read, what is refused, and what is shown of it."""

# A text and the whole line that tells of it stand side by side.
# ruff: noqa: E501, ISC004

import pytest

from switchgear.gateway.config.effective import effective
from switchgear.gateway.config.model import HeaderRules, Headers
from tests.gateway.config.snippets import config_of, lines, routed


def only_route(tmp_path, text: str, **environ: str):
    return config_of(tmp_path, text, environ=environ).routes[0]


def text_of(http: str = "", method: str = "", service: str = "") -> str:
    inner = f"{{url: 'http://h'{service and ', headers: ' + service}}}"
    at_method = method and f"headers: {method}, "
    at_http = http and f"headers: {http}, "
    return f"http: {{{at_http}routes: {{/x: {{GET: {{{at_method}services: {{s: {inner}}}}}}}}}}}\n"


def test_they_stand_on_http_a_method_and_a_service(tmp_path):
    text = text_of(
        http="{response: {set: {X-A: 'http', X-B: 'http'}, remove: [X-C, X-D]}}",
        method="{response: {set: {x-b: 'method', X-D: 'method'}, remove: [x-a]}, request: {remove: [Cookie]}}",
        service="{request: {set: {X-S: ''}}}",
    )
    route = only_route(tmp_path, text)
    # The method's rule for a field holds over that of http.
    assert route.headers == Headers(
        HeaderRules(remove=("Cookie",)), HeaderRules((("x-b", "method"), ("X-D", "method")), ("X-C", "x-a"))
    )
    assert route.services[0].headers == Headers(HeaderRules((("X-S", ""),)))


def test_a_service_of_the_top_level_brings_its_own(tmp_path):
    text = "services: {a: {url: 'http://h', headers: {request: {set: {X-A: b}}}}}\n" + routed("{use: a}")
    assert only_route(tmp_path, text).services[0].headers.request.set == (("X-A", "b"),)
    (line,) = lines(tmp_path, text.replace("{use: a}", "{use: a, headers: {request: {remove: [b]}}}"))
    assert "headers: not possible with use" in line


@pytest.mark.parametrize(
    ("rules", "line"),
    [
        ("{}", "headers: empty; allowed request, response or both"),
        ("{request: {}}", "headers.request: empty; allowed set, remove or both"),
        (
            "{reqest: {remove: [A]}}",
            "headers.reqest: unknown key; allowed request, response; did you mean request?",
        ),
        (
            "{request: [A]}",
            "headers.request: wrong type; found a list; allowed a mapping with set, remove or both",
        ),
        (
            "{request: {remove: A}}",
            'headers.request.remove: wrong type; found "A"; allowed a list of names of fields',
        ),
        (
            "{request: {set: {A: 1}}}",
            "headers.request.set.A: wrong type; allowed a text (quote a number) of printable ASCII, "
            "without white space at its ends",
        ),
        (
            "{request: {set: {'A b': c}}}",
            "headers.request.set.\"A b\": not a field's name: letters, digits and any of !#$%&'*+-.^_`|~",
        ),
        (
            "{request: {remove: ['A:']}}",
            "headers.request.remove[0]: not a field's name: letters, digits and any of !#$%&'*+-.^_`|~; "
            'found "A:"; allowed the name of a field such as X-Api-Version',
        ),
        (
            "{request: {set: {A: b}, remove: [a]}}",
            "headers.request.remove[0]: there is a rule for this field already at 1:",
        ),
        (
            "{request: {set: {A: b, a: c}}}",
            "headers.request.set.a: there is a rule for this field already at 1:",
        ),
        (
            "{response: {remove: [A, B, a]}}",
            "headers.response.remove[2]: there is a rule for this field already",
        ),
        (
            "{response: {set: {Switchgear-Origin: none}}}",
            "headers.response.set.Switchgear-Origin: this field tells the gateway's own answers apart",
        ),
    ],
)
def test_what_is_wrong_is_told(tmp_path, rules: str, line: str):
    (told,) = lines(tmp_path, text_of(http=rules))
    assert line in told


@pytest.mark.parametrize(
    "name",
    ["Host", "Content-Length", "transfer-encoding", "Transfer_Encoding", "CONNECTION", "TE", "Trailer",
     "Upgrade", "Keep-Alive", "Proxy-Authorization", "Proxy-Connection", "Expect", "Date"],
)  # fmt: skip
def test_fields_of_the_message_itself_have_no_rules(tmp_path, name: str):
    for rules in (f"{{request: {{set: {{{name}: x}}}}}}", f"{{response: {{remove: [{name}]}}}}"):
        (told,) = lines(tmp_path, text_of(method=rules))
        assert "this field belongs to the message itself, which the gateway writes" in told


@pytest.mark.parametrize("value", ["a\\r\\nB: c", "a\\nb", "\\0", " a", "a ", "\\x7f", "\\xe9", "\\u2028"])
def test_a_value_can_not_end_its_line(tmp_path, value: str):
    (told,) = lines(tmp_path, text_of(service=f'{{request: {{set: {{A: "{value}"}}}}}}'))
    assert "headers.request.set.A: not a field's value; allowed" in told
    assert "found" not in told  # it may be a secret


def test_a_value_of_the_environment_is_checked_and_never_shown(tmp_path):
    text = text_of(method="{request: {set: {X-Key: '${KEY}', Authorization: 'Bearer abc', X-Plain: 'yes'}}}")
    route = only_route(tmp_path, text, KEY="hidden")
    assert route.headers.request.set == (
        ("X-Key", "hidden"),
        ("Authorization", "Bearer abc"),
        ("X-Plain", "yes"),
    )
    shown = str(effective(config_of(tmp_path, text, environ={"KEY": "hidden"})).routes)
    assert "{'X-Key': '***', 'Authorization': '***', 'X-Plain': 'yes'}" in shown
    assert not {"hidden", "Bearer"} & set(shown.replace("'", " ").split())
    (told,) = lines(tmp_path, text, environ={"KEY": "hidden\r\nX: y"})
    assert "not a field's value" in told
    assert "hidden" not in told
    assert "hidden" not in repr(route)
