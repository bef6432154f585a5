"""The examples for common set-ups do what their first lines say."""

from pathlib import Path

from switchgear.testing import gateway_test

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_an_answer_from_several_services_can_do_without_some():
    with gateway_test(EXAMPLES / "merged.yaml", {}) as gateway:
        gateway.fake("account").answer(json={"name": "Ada"})
        gateway.fake("inbox").answer(json=[{"from": "Bob"}])
        gateway.fake("offers").answer(json=["tea"])
        whole = gateway.get("/profile/7")
        assert whole.json() == {"name": "Ada", "inbox": [{"from": "Bob"}], "offers": ["tea"]}
        assert gateway.fake("account").requests[0].target == "/accounts/7"

        gateway.fake("inbox").hang()
        gateway.fake("offers").refuse()
        partial = gateway.get("/profile/7")
        assert (partial.status, partial.json()) == (200, {"name": "Ada", "offers": ["tea"]})
        parts = partial.headers["switchgear-parts"]
        assert parts.startswith("account;ok, inbox;omitted;reason=timeout, offers;stale;age=")

        gateway.clock.advance(601)
        assert gateway.get("/profile/7").json() == {"name": "Ada", "offers": []}

        gateway.fake("account").answer(404, json={"error": "nobody"})
        assert (missing := gateway.get("/profile/7")).status == 404
        assert missing.json() == {"error": "nobody"}


def test_the_older_gateways_file_works_as_it_is():
    with gateway_test(EXAMPLES / "prism.json", {}) as gateway:
        gateway.fake("user").answer(json={"id": 7})
        gateway.fake("inbox").answer(json=[])
        assert gateway.get("/users/7").json() == {"id": 7, "inbox": []}

        gateway.fake("user").fail(500)
        assert [gateway.get("/users/7").status for _ in range(4)] == [500, 500, 500, 503]
        assert gateway.get("/users/7").text == "Busy."
        assert gateway.request("DELETE", "/users/7").status == 500  # a circuit of its own

        gateway.fake("user").answer(json={"id": 7})
        gateway.clock.advance(10)
        assert gateway.get("/users/7").status == 200
        assert gateway.circuit("route:GET /users/{id}").state == "closed"


def test_a_sick_address_is_left_out():
    with gateway_test(EXAMPLES / "per-endpoint.yaml", {}) as gateway:
        sick = gateway.fake("search@http://localhost:6662")
        sick.fail(500)
        statuses = [gateway.get("/search").status for _ in range(90)]
        assert statuses.count(500) == len(sick.requests) == 20
        assert gateway.circuit("endpoint:search@http://localhost:6662").state == "open"
        assert gateway.circuit("endpoint:search@http://localhost:6661").state == "closed"
        assert gateway.circuit("service:search").state == "closed"

        for fake in gateway.fakes.values():
            fake.fail(500)
        gateway.clock.advance(31)  # nothing of before is in the window
        assert [gateway.get("/search").status for _ in range(21)] == [*[500] * 20, 503]
        assert gateway.circuit("service:search").state == "open"  # all of them together are one service


def test_what_fails_once_is_sent_again():
    with gateway_test(EXAMPLES / "retry.yaml", {}) as gateway:
        catalog = gateway.fake("catalog")
        catalog.fail(503, times=2)
        assert gateway.get("/catalog/tea").status == 200
        assert len(catalog.requests) == 3
        catalog.fail(503, times=1)
        assert gateway.post("/catalog/tea", json={}).status == 503
        assert len(catalog.requests) == 4


def test_fields_are_set_and_removed():
    with gateway_test(EXAMPLES / "headers.yaml", {"CATALOG_KEY": "k7"}) as gateway:
        catalog = gateway.fake("catalog")
        catalog.answer(json={}, headers={"Server": "old", "X-Debug": "1", "X-Powered-By": "old"})
        answer = gateway.get("/catalog/tea", headers={"Cookie": "site=1"})
        assert catalog.requests[0].headers["x-api-key"] == "k7"
        assert "cookie" not in catalog.requests[0].headers
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
        assert not {"server", "x-debug", "x-powered-by", "cache-control"} & set(answer.headers)
        assert gateway.get("/pictures/1").headers["cache-control"] == "public, max-age=86400"

        catalog.refuse()
        answer = gateway.get("/catalog/tea")
        assert (answer.status, answer.headers["strict-transport-security"]) == (502, "max-age=31536000")
