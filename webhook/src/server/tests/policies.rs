//! What policies make of a finding: refused, warned about, noted, nothing; each for a whole policy and for one rule.

use super::*;

/// A server that one policy below has something against.
fn from_elsewhere() -> Value {
    let mut object = stored();
    object["spec"]["image"] = "registry.other/weather:1.0.0".into();
    object
}

fn objects(policies: &[(&str, Value)]) -> Objects {
    let mut objects = Objects::default();
    let namespace =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team-a"}});
    objects.take(Change::Namespace(Box::new(Event::Apply(parsed(namespace)))));
    for (name, spec) in policies {
        let policy = json!({"apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPPolicy",
            "metadata": {"name": name}, "spec": spec});
        objects.take(Change::Policy(Box::new(Event::Apply(parsed(policy)))));
    }
    objects
}

fn under(policies: &[(&str, Value)]) -> Snapshot {
    Snapshot::default().rebuilt(&objects(policies), &Changed::ALL.into())
}

fn app_under(policies: &[(&str, Value)]) -> Arc<App> {
    let published = Published::default();
    published.store(Some(Arc::new(under(policies))));
    Arc::new(App::new(
        published,
        asker(Some(NO), Duration::from_millis(500)),
        Metrics::default(),
        8,
        CancellationToken::new(),
    ))
}

/// What the answer makes of MCP0102.
fn outcome(response: &Value) -> &'static str {
    const CODE: &str = "MCP0102";
    let says = |field: &str| response[field].to_string().contains(CODE);
    match response["allowed"].as_bool() {
        Some(false) if codes_of(response).contains(&CODE.to_owned()) => "refused",
        Some(true) if says("warnings") => "warned",
        Some(true) if says("auditAnnotations") => "noted",
        Some(true) if !says("status") => "nothing",
        _ => "something else",
    }
}

#[tokio::test]
async fn enforcement_of_a_policy_and_of_one_rule_decides_at_both_doors() {
    let list = |enforcement: Option<&str>| json!({"enforcement": enforcement, "images": {"allowedRegistries": ["registry.test"]}});
    let overriding = |mut spec: Value, enforcement: &str| {
        spec["overrides"] = json!([{"rule": "MCP0102", "enforcement": enforcement}]);
        spec
    };
    let nothing = || json!({});
    for (policies, expected) in [
        (vec![("a", list(None))], "refused"),
        (vec![("a", list(Some("Enforce")))], "refused"),
        (vec![("a", list(Some("Warn")))], "warned"),
        (vec![("a", list(Some("Audit")))], "noted"),
        (vec![("a", list(Some("Off")))], "nothing"),
        (vec![("a", overriding(list(None), "Warn"))], "warned"),
        (vec![("a", overriding(list(None), "Audit"))], "noted"),
        (vec![("a", overriding(list(None), "Off"))], "nothing"),
        (
            vec![("a", overriding(list(Some("Off")), "Enforce"))],
            "refused",
        ),
        (
            vec![("a", list(Some("Audit"))), ("b", list(Some("Warn")))],
            "warned",
        ),
        (
            vec![("a", list(None)), ("b", overriding(nothing(), "Off"))],
            "refused",
        ),
        (
            vec![
                ("a", list(Some("Audit"))),
                ("b", overriding(nothing(), "Enforce")),
            ],
            "refused",
        ),
        (vec![("a", nothing())], "nothing"),
        (
            vec![("a", {
                let mut spec = list(None);
                spec["excludeNamespaces"] = json!(["team-a"]);
                spec
            })],
            "nothing",
        ),
    ] {
        let app = app_under(&policies);
        for path in ["/mutate", "/validate"] {
            let review = review("CREATE", Some(&from_elsewhere()), None);
            let response = ask(&app, path, &review).await;
            let found = outcome(&response);
            // Warnings and notes come from one of the two doors, or they would come twice.
            let expected = match (path, expected) {
                ("/mutate", "warned" | "noted") => "nothing",
                (_, expected) => expected,
            };
            assert_eq!(found, expected, "{path} under {policies:?}: {response}");
        }
    }
}

#[tokio::test]
async fn a_changed_policy_holds_for_the_next_request() {
    let strict = json!({"images": {"allowedRegistries": ["registry.test"]}});
    let published = Published::default();
    published.store(Some(Arc::new(under(&[("a", json!({}))]))));
    let app = Arc::new(App::new(
        Arc::clone(&published),
        asker(Some(NO), Duration::from_millis(500)),
        Metrics::default(),
        8,
        CancellationToken::new(),
    ));
    let review = review("CREATE", Some(&from_elsewhere()), None);
    assert_eq!(outcome(&ask(&app, "/validate", &review).await), "nothing");
    let before = published.load_full().unwrap();
    let changed = [Changed::Policies].into();
    let next = before.rebuilt(&objects(&[("a", strict)]), &changed);
    published.store(Some(Arc::new(next)));
    assert_eq!(outcome(&ask(&app, "/validate", &review).await), "refused");
}
