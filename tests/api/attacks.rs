//! Ways to more access than one was given, tried by people with the roles that `setup` installs and nothing else, on a
//! real API server with the webhook, the operator and the static policies in place. Each is refused with its code, and
//! what looks like it and is legitimate passes.

mod objects;
mod scene;

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::json;

use crate::identity::Person;
use objects::{grant, in_hours, named_hash, server, session};
use scene::Scene;

/// One story, because there can be only one webhook and one operator.
#[test]
fn every_way_to_more_access_is_closed() {
    let scene = Scene::open();
    let attacks: [fn(&Scene); 10] = [
        a_finalizer_does_not_keep_a_grant_to_edit,
        a_denial_is_not_lifted_without_the_right_to_grant,
        a_revoked_session_does_not_come_back,
        a_stamp_is_nobodys_to_write,
        a_team_is_not_claimed,
        a_session_is_ones_own,
        a_bundle_is_not_edited_by_hand,
        a_server_does_not_come_back_weaker,
        an_override_does_not_hide_behind_an_old_finding,
        a_secret_is_not_named_by_who_may_not_read_it,
    ];
    // One way that is open says nothing about the next: all are tried.
    let open = attacks
        .into_iter()
        .filter(|attack| catch_unwind(AssertUnwindSafe(|| attack(&scene))).is_err())
        .count();
    assert_eq!(
        open, 0,
        "attacks succeeded, or what is legitimate was refused: see above"
    );
}

/// Runs servers, passes on what he holds, and has no verb `grant`.
fn admin(scene: &Scene) -> Person<'_> {
    scene.person("adam")
}

/// May say who calls what.
fn granter(scene: &Scene) -> Person<'_> {
    scene.person("gina")
}

/// Calls servers, in no group.
fn caller(scene: &Scene) -> Person<'_> {
    scene.person("carl")
}

fn a_finalizer_does_not_keep_a_grant_to_edit(scene: &Scene) {
    for (name, more, wider) in [
        (
            "kept-allow",
            json!({}),
            json!({"spec": {"maxTrust": "high", "allowedSideEffects": ["destructive"]}}),
        ),
        (
            "kept-deny",
            json!({"effect": "Deny"}),
            json!({"spec": {"toolRules": [{"name": "nothing"}]}}),
        ),
    ] {
        granter(scene)
            .send("create", &grant(name, "weather", "dora", &more))
            .expect_ok();
        let object = format!("mcpaccessgrant/{name}");
        let finalizer = json!({"metadata": {"finalizers": ["example.com/keep"]}});
        admin(scene).patch(&object, &finalizer).expect_ok();
        granter(scene)
            .kubectl(&["delete", &object, "--wait=false"])
            .expect_ok();
        Scene::refused(
            &admin(scene),
            &["patch", &object, "--type=merge", "-p", &wider.to_string()],
            None,
            "MCP0912",
        );
        Scene::refused(
            &granter(scene),
            &["patch", &object, "--type=merge", "-p", &wider.to_string()],
            None,
            "MCP0912",
        );
        admin(scene)
            .patch(&object, &json!({"metadata": {"labels": {"seen": "yes"}}}))
            .expect_ok();
        admin(scene)
            .patch(&object, &json!({"metadata": {"finalizers": null}}))
            .expect_ok();
        scene.gone(&object);
    }
}

fn a_denial_is_not_lifted_without_the_right_to_grant(scene: &Scene) {
    let denial = grant(
        "denied",
        "weather",
        "adam",
        &json!({"effect": "Deny", "expiresAt": in_hours(24)}),
    );
    granter(scene).send("create", &denial).expect_ok();
    let object = "mcpaccessgrant/denied";
    Scene::refused(&admin(scene), &["delete", object], None, "MCP0607");
    for change in [
        json!({"spec": {"disabled": true}}),
        json!({"spec": {"expiresAt": in_hours(1)}}),
        json!({"spec": {"toolRules": [{"name": "nothing"}]}}),
        json!({"spec": {"effect": "Allow"}}),
    ] {
        Scene::refused(
            &admin(scene),
            &["patch", object, "--type=merge", "-p", &change.to_string()],
            None,
            "MCP0607",
        );
    }
    let owner = json!({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "1"}]}});
    Scene::refused(
        &admin(scene),
        &["patch", object, "--type=merge", "-p", &owner.to_string()],
        None,
        "MCP0913",
    );
    Scene::refused(
        &admin(scene),
        &["delete", "mcpaccessgrants", "--all"],
        None,
        "MCP0607",
    );
    admin(scene)
        .patch(object, &json!({"spec": {"reason": "see ticket 7"}}))
        .expect_ok();
    granter(scene)
        .patch(object, &json!({"spec": {"disabled": true}}))
        .expect_ok();
    granter(scene).kubectl(&["delete", object]).expect_ok();
}

fn a_revoked_session_does_not_come_back(scene: &Scene) {
    let stolen = session("stolen", "carl", &json!({}));
    caller(scene).send("create", &stolen).expect_ok();
    let object = "mcpagentsession/stolen";
    caller(scene)
        .patch(object, &json!({"spec": {"revoked": true}}))
        .expect_ok();
    Scene::refused(&caller(scene), &["delete", object], None, "MCP0708");
    let back = json!({"spec": {"revoked": false}}).to_string();
    Scene::refused(
        &caller(scene),
        &["patch", object, "--type=merge", "-p", &back],
        None,
        "MCP0704",
    );
    let again = session("again", "carl", &json!({"tokenHash": named_hash("stolen")}));
    Scene::refused(
        &caller(scene),
        &["create", "-f", "-"],
        Some(&again),
        "MCP0702",
    );
    let other = session(
        "taken-over",
        "gina",
        &json!({"tokenHash": named_hash("stolen")}),
    );
    Scene::refused(
        &granter(scene),
        &["create", "-f", "-"],
        Some(&other),
        "cannot create resource",
    );
    Scene::refused(&admin(scene), &["delete", object], None, "MCP0708");
    caller(scene)
        .send("create", &session("fresh", "carl", &json!({})))
        .expect_ok();
    caller(scene)
        .kubectl(&["delete", "mcpagentsession/fresh"])
        .expect_ok();
}

fn a_stamp_is_nobodys_to_write(scene: &Scene) {
    for stamp in [
        "kubectl-mcp.dev/requested-by=gina",
        "kubectl-mcp.dev/requested-by-groups=[\"system:masters\"]",
        "kubectl-mcp.dev/edited-by=gina",
    ] {
        let arguments = ["annotate", "mcpserver/weather", stamp, "--overwrite"];
        Scene::refused(&admin(scene), &arguments, None, "MCP0910");
    }
    // A stamp that is left out, as by `kubectl replace`, is put back.
    let removal = [
        "annotate",
        "mcpserver/weather",
        "kubectl-mcp.dev/requested-by-",
    ];
    admin(scene).kubectl(&removal).expect_ok();
    let stamps = scene.get("mcpserver/weather")["metadata"]["annotations"].clone();
    assert_eq!(stamps["kubectl-mcp.dev/requested-by"], "adam");
    admin(scene)
        .kubectl(&["annotate", "mcpserver/weather", "example.com/note=hello"])
        .expect_ok();
    let mut forged = server("forged", &json!({}));
    forged["metadata"]["annotations"] = json!({
        "kubectl-mcp.dev/requested-by": "gina", "kubectl-mcp.dev/requested-by-groups": "[\"system:masters\"]"
    });
    admin(scene).send("create", &forged).expect_ok();
    let stored = scene.get("mcpserver/forged");
    let annotations = &stored["metadata"]["annotations"];
    assert_eq!(
        annotations["kubectl-mcp.dev/requested-by"], "adam",
        "the stamp of somebody else was kept"
    );
    assert_eq!(
        annotations["kubectl-mcp.dev/requested-by-groups"],
        "[\"system:authenticated\"]"
    );
    admin(scene)
        .kubectl(&["delete", "mcpserver/forged"])
        .expect_ok();
}

fn a_team_is_not_claimed(scene: &Scene) {
    let blue = |name: &str| {
        session(
            name,
            "carl",
            &json!({"subject": {"humanID": "carl", "teamID": "blue"}}),
        )
    };
    Scene::refused(
        &caller(scene),
        &["create", "-f", "-"],
        Some(&blue("claimed")),
        "MCP0701",
    );
    let red = caller(scene).in_groups(&["red-people"]);
    Scene::refused(
        &red,
        &["create", "-f", "-"],
        Some(&blue("claimed")),
        "MCP0701",
    );
    caller(scene)
        .in_groups(&["blue-people"])
        .send("create", &blue("member"))
        .expect_ok();
}

fn a_session_is_ones_own(scene: &Scene) {
    for subject in [
        json!({"humanID": "gina"}),
        json!({"humanID": "carl", "group": "admins"}),
        json!({"serviceAccount": {"namespace": scene.namespace(), "name": "default"}}),
    ] {
        let object = session("not-mine", "carl", &json!({"subject": subject}));
        Scene::refused(
            &caller(scene),
            &["create", "-f", "-"],
            Some(&object),
            "MCP0701",
        );
    }
    granter(scene)
        .kubectl(&["get", "mcpagentsessions"])
        .expect_ok();
}

fn a_bundle_is_not_edited_by_hand(scene: &Scene) {
    let editor = scene.person("eddy");
    scene.exists("configmap/weather-access");
    let forged = json!({"data": {"access.json": "{}"}}).to_string();
    let unlabelled = json!({"metadata": {"labels": null}}).to_string();
    for patch in [&forged, &unlabelled] {
        let arguments = [
            "patch",
            "configmap/weather-access",
            "--type=merge",
            "-p",
            patch,
        ];
        Scene::refused(&editor, &arguments, None, "MCP0909");
    }
    Scene::refused(
        &editor,
        &["delete", "configmap/weather-access"],
        None,
        "MCP0909",
    );
    Scene::refused(&editor, &["delete", "configmaps", "--all"], None, "MCP0909");
    let labelled = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "mine", "labels": {"app.kubernetes.io/managed-by": "kubectl-mcp-operator",
                                                "kubectl-mcp.dev/server": "weather"}}
    });
    Scene::refused(&editor, &["create", "-f", "-"], Some(&labelled), "MCP0909");
    let shard =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "weather-access-1"}});
    Scene::refused(&editor, &["create", "-f", "-"], Some(&shard), "MCP0909");
    let upstream =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "weather-upstream"}});
    Scene::refused(&editor, &["create", "-f", "-"], Some(&upstream), "MCP0909");
    Scene::refused(
        &editor,
        &["delete", "serviceaccount/weather-gateway"],
        None,
        "MCP0909",
    );
    editor
        .kubectl(&["create", "configmap", "other-access"])
        .expect_ok();
    editor
        .patch("configmap/other-access", &json!({"data": {"a": "b"}}))
        .expect_ok();
    editor
        .kubectl(&["delete", "configmap/other-access"])
        .expect_ok();
}

fn a_server_does_not_come_back_weaker(scene: &Scene) {
    let tool = |trust: &str, effect: &str| {
        json!({"tools": [{"name": "look", "requiredTrust": "low", "sideEffect": "read"},
                         {"name": "wipe", "requiredTrust": trust, "sideEffect": effect}]})
    };
    let strict = server("vault", &tool("high", "destructive"));
    admin(scene).send("create", &strict).expect_ok();
    let allowed = json!({"toolRules": [{"name": "look"}, {"name": "wipe"}], "allowedSideEffects": ["read", "write"], "maxTrust": "medium"});
    scene.knows_server("vault");
    granter(scene)
        .send("create", &grant("on-vault", "vault", "carl", &allowed))
        .expect_ok();
    for weaker in [
        tool("low", "destructive"),
        tool("high", "read"),
        json!({"policy": {"mode": "observe"}}),
    ] {
        let patch = json!({"spec": weaker}).to_string();
        Scene::refused(
            &admin(scene),
            &["patch", "mcpserver/vault", "--type=merge", "-p", &patch],
            None,
            "MCP0410",
        );
    }
    admin(scene)
        .kubectl(&["delete", "mcpserver/vault"])
        .expect_ok();
    scene.forgets_server("vault");
    for weaker in [
        tool("low", "destructive"),
        tool("high", "read"),
        json!({"policy": {"mode": "observe"}}),
        json!({"policy": {"undeclaredTools": "allow"}}),
        json!({"gateway": {"enabled": false}}),
        json!({"auth": {"mode": "none"}}),
    ] {
        Scene::refused(
            &admin(scene),
            &["create", "-f", "-"],
            Some(&server("vault", &weaker)),
            "MCP0410",
        );
    }
    admin(scene).send("create", &strict).expect_ok();
    admin(scene)
        .send(
            "create",
            &server("unused", &json!({"policy": {"undeclaredTools": "allow"}})),
        )
        .expect_ok();
}

fn an_override_does_not_hide_behind_an_old_finding(scene: &Scene) {
    admin(scene)
        .send(
            "create",
            &server("old", &json!({"image": "registry.test/mcp/old:1"})),
        )
        .expect_ok();
    scene.set_registries(&["elsewhere.test"]);
    let create = server("new", &json!({"image": "registry.test/mcp/new:1"}));
    Scene::refused(
        &admin(scene),
        &["create", "-f", "-"],
        Some(&create),
        "MCP0102",
    );
    for worse in [
        json!({"spec": {"registryOverride": "evil.test"}}),
        json!({"spec": {"imageTag": "2", "image": "registry.test/mcp/old"}}),
        json!({"spec": {"image": "registry.test/mcp/other:1"}}),
    ] {
        let arguments = [
            "patch",
            "mcpserver/old",
            "--type=merge",
            "-p",
            &worse.to_string(),
        ];
        Scene::refused(&admin(scene), &arguments, None, "MCP0102");
    }
    admin(scene)
        .kubectl(&["label", "mcpserver/old", "colour=blue"])
        .expect_ok();
    admin(scene)
        .patch(
            "mcpserver/old",
            &json!({"spec": {"description": "as before"}}),
        )
        .expect_ok();
    admin(scene)
        .patch(
            "mcpserver/old",
            &json!({"spec": {"registryOverride": "elsewhere.test"}}),
        )
        .expect_ok();
    scene.set_registries(&["registry.test"]);
}

fn a_secret_is_not_named_by_who_may_not_read_it(scene: &Scene) {
    let secret = |name: &str| json!([{"name": "DATABASE", "valueFrom": {"secretKeyRef": {"name": name, "key": "password"}}}]);
    scene.make_secret("db");
    scene.make_secret("own");
    admin(scene)
        .send("create", &server("reader", &json!({})))
        .expect_ok();
    let named = json!({"spec": {"env": secret("db")}}).to_string();
    Scene::refused(
        &admin(scene),
        &["patch", "mcpserver/reader", "--type=merge", "-p", &named],
        None,
        "MCP0321",
    );
    let from = json!({"envFrom": [{"secretRef": {"name": "db"}}]});
    Scene::refused(
        &admin(scene),
        &["create", "-f", "-"],
        Some(&server("thief", &from)),
        "MCP0321",
    );
    let volume = json!({"volumes": [{"name": "v", "secret": {"secretName": "db"}}]});
    Scene::refused(
        &admin(scene),
        &["create", "-f", "-"],
        Some(&server("thief", &volume)),
        "MCP0321",
    );
    scene.let_read("adam", "own");
    Scene::passes(
        &admin(scene),
        &server("reads-own", &json!({"env": secret("own")})),
    );
}
