//! How the objects of a floor come, change and go.

use serde_json::{Value, json};
use tests::{Environment, eventually};

use super::{Team, server};
use crate::platform::Platform;

const POLICY: &str = "validatingadmissionpolicy";
const BINDING: &str = "validatingadmissionpolicybinding";

fn unlisted() -> Value {
    server(
        "unlisted",
        &json!({"image": "evil.test/x:1", "ingressHost": "a.example.com"}),
    )
}

fn is_gone(environment: &Environment, kind: &str, name: &str) -> Result<(), String> {
    match environment.get(&[kind, name]) {
        None => Ok(()),
        Some(found) => Err(found["metadata"].to_string()),
    }
}

pub(super) fn each_action_has_its_objects_and_its_effect(environment: &Environment) {
    let spec = |enforcement: &str| json!({"enforcement": enforcement, "images": {"allowedRegistries": ["ghcr.io"]}});
    let team = Team::unguarded(environment, "actions", &spec("Warn"));
    assert_eq!(team.await_condition(), "Applied");
    let create = || {
        let arguments = ["create", "-n", &team.name, "--dry-run=server", "-f", "-"];
        environment.kubectl_with(&arguments, &unlisted().to_string())
    };
    eventually("the API server warns", || {
        let said = create();
        assert!(said.ok, "{}", said.text());
        if said.err.contains("Warning:") && said.err.contains("MCP0102") {
            Ok(())
        } else {
            Err(said.text())
        }
    });
    assert!(
        environment.get(&[POLICY, &team.object("deny")]).is_none(),
        "nothing is refused by a policy that warns"
    );

    team.set(&spec("Audit"));
    eventually("what warned goes", || {
        is_gone(environment, POLICY, &team.object("warn"))
    });
    eventually("its binding goes", || {
        is_gone(environment, BINDING, &team.object("warn"))
    });
    let binding = eventually("the audit binding comes", || {
        environment
            .get(&[BINDING, &team.object("audit")])
            .ok_or_else(|| "not there".to_owned())
    });
    assert_eq!(binding["spec"]["validationActions"], json!(["Audit"]));
    eventually("the API server is silent", || {
        let said = create();
        assert!(said.ok, "{}", said.text());
        if said.err.contains("MCP0102") {
            Err(said.err)
        } else {
            Ok(())
        }
    });

    team.set(&spec("Off"));
    eventually("nothing is left", || {
        is_gone(environment, POLICY, &team.object("audit"))
    });
    assert_eq!(team.await_condition(), "NothingToHold");
}

pub(super) fn what_somebody_changed_is_put_right(environment: &Environment) {
    let team = Team::new(
        environment,
        "drift",
        &json!({"images": {"allowedRegistries": ["ghcr.io"]}}),
    );
    let name = team.object("deny");
    let spec = |kind: &str| {
        environment
            .get(&[kind, &name])
            .map(|found| found["spec"].clone())
    };
    let (policy, binding) = (
        spec(POLICY).expect("it is there"),
        spec(BINDING).expect("it is there"),
    );
    let actions = r#"{"spec":{"validationActions":["Audit"]}}"#;
    environment
        .kubectl(&["patch", BINDING, &name, "--type=merge", "-p", actions])
        .expect_ok();
    let expressions = r#"{"spec":{"validations":[{"expression":"true"}]}}"#;
    environment
        .kubectl(&["patch", POLICY, &name, "--type=merge", "-p", expressions])
        .expect_ok();
    let restored = || {
        eventually("both are as they were", || {
            let found = (spec(POLICY), spec(BINDING));
            if found == (Some(policy.clone()), Some(binding.clone())) {
                Ok(())
            } else {
                Err(format!("{found:?}"))
            }
        });
    };
    restored();
    let narrowed =
        r#"{"spec":{"matchResources":{"namespaceSelector":{"matchLabels":{"never":"there"}}}}}"#;
    environment
        .kubectl(&["patch", BINDING, &name, "--type=merge", "-p", narrowed])
        .expect_ok();
    restored();
    environment.kubectl(&["delete", POLICY, &name]).expect_ok();
    environment.kubectl(&["delete", BINDING, &name]).expect_ok();
    restored();
    team.await_floor();
}

pub(super) fn nothing_is_written_when_nothing_changed(environment: &Environment, admin: u16) {
    let team = Team::new(
        environment,
        "quiet",
        &json!({"images": {"requireDigest": true}}),
    );
    let counters = |name: &str, label: &str| -> f64 {
        let metrics = Platform::metrics(admin);
        let lines = metrics
            .lines()
            .filter(|l| l.starts_with(name) && l.contains(label));
        lines
            .filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    };
    let reconciles = || counters("mcp_operator_reconcile_seconds_count", "MCPPolicy");
    let touch = |value: &str| {
        let seen = reconciles();
        let annotation = format!("example.com/touched={value}");
        environment
            .kubectl(&[
                "annotate",
                "mcppolicy",
                &team.name,
                "--overwrite",
                &annotation,
            ])
            .expect_ok();
        eventually("the policy is reconciled", || {
            if reconciles() > seen {
                Ok(())
            } else {
                Err("not yet".to_owned())
            }
        });
    };
    touch("once");
    let before = counters("mcp_operator_writes_total", "ValidatingAdmission");
    touch("twice");
    let after = counters("mcp_operator_writes_total", "ValidatingAdmission");
    assert!(
        (after - before).abs() < f64::EPSILON,
        "a reconcile wrote without a change"
    );
}

pub(super) fn the_floor_goes_with_its_policy(environment: &Environment) {
    let team = Team::new(
        environment,
        "gone",
        &json!({"images": {"allowedRegistries": ["ghcr.io"]}}),
    );
    let condition = team.floor_ready();
    assert_eq!(condition["reason"], "Applied", "{condition}");
    let name = team.object("deny");
    environment
        .kubectl(&["delete", "mcppolicy", &team.name])
        .expect_ok();
    for kind in [POLICY, BINDING] {
        eventually("the floor goes with its policy", || {
            is_gone(environment, kind, &name)
        });
    }
    eventually("nothing is refused any more", || {
        let refused = team.put(&[unlisted()]);
        if refused.is_empty() {
            Ok(())
        } else {
            Err(format!("{refused:?}"))
        }
    });
}
