//! Listed if and only if callable: random bundles, with pins in play, in front of a real server, over all that it has.

#![allow(missing_docs, clippy::large_futures, reason = "a test")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy knows only test functions as tests"
)]

mod support;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use api::{
    Decision, Effect, MCPAccessGrant, MCPAccessGrantSpec, PinMode, Pins, PolicyMode, ServerRef,
    SideEffect, Subject, ToolRule, Trust,
};
use http::StatusCode;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use support::*;

/// How many bundles: at least, at most, and for how long to go on between the two.
const BUNDLES: (usize, usize, Duration) = (10, 60, Duration::from_secs(20));

/// What of a world is random.
#[derive(Clone, Debug)]
struct Case {
    grants: Vec<MCPAccessGrantSpec>,
    mode: PolicyMode,
    default_decision: Decision,
    undeclared_tools: Decision,
    pins: PinMode,
    /// For each declared tool: no pin, the right one, a wrong one, both.
    pinned: Vec<u8>,
}

fn some(of: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    proptest::sample::subsequence(of, 0..=2)
        .prop_map(|names| names.into_iter().map(str::to_owned).collect())
}

fn trust() -> impl Strategy<Value = Trust> {
    prop_oneof![3 => Just(Trust::Low), 1 => Just(Trust::Medium)]
}

fn rule() -> impl Strategy<Value = ToolRule> {
    const NAMES: &[&str] = &[
        "echo",
        "get-*",
        "*",
        "trigger-*",
        "e*o",
        "*-sum",
        "simulate-*",
    ];
    let decision = prop_oneof![3 => Just(Decision::Allow), 1 => Just(Decision::Deny)];
    (proptest::sample::select(NAMES), decision, trust()).prop_map(|(name, decision, trust)| {
        ToolRule {
            name: name.to_owned(),
            decision,
            required_trust: Some(trust),
        }
    })
}

fn grant() -> impl Strategy<Value = MCPAccessGrantSpec> {
    let effect = prop_oneof![4 => Just(Effect::Allow), 1 => Just(Effect::Deny)];
    let human = prop_oneof![4 => Just("alice"), 1 => Just("bob")];
    let effects = [SideEffect::Read, SideEffect::Write, SideEffect::Destructive];
    (
        effect,
        human,
        proptest::collection::vec(rule(), 0..3),
        proptest::sample::subsequence(effects.to_vec(), 0..=3),
        some(&["simple-prompt", "*", "args-*", "completable-*"]),
        some(&[
            "*",
            "demo://*",
            "demo://resource/static/document/a*",
            "demo://resource/dynamic/text/*",
            "demo://resource/dynamic/blob/1",
        ]),
        trust(),
    )
        .prop_map(
            |(effect, human, tool_rules, effects, prompts, resources, max_trust)| {
                MCPAccessGrantSpec {
                    server_ref: ServerRef {
                        name: SERVER.to_owned(),
                    },
                    subject: Subject {
                        human_id: Some(human.to_owned()),
                        ..Subject::default()
                    },
                    effect,
                    tool_rules,
                    allowed_side_effects: effects,
                    prompts,
                    resources,
                    max_trust,
                    ..MCPAccessGrantSpec::default()
                }
            },
        )
}

fn case() -> impl Strategy<Value = Case> {
    let decision = || prop_oneof![3 => Just(Decision::Deny), 1 => Just(Decision::Allow)];
    (
        proptest::collection::vec(grant(), 0..4),
        prop_oneof![6 => Just(PolicyMode::AllowList), 1 => Just(PolicyMode::Observe)],
        decision(),
        decision(),
        proptest::sample::select(vec![PinMode::Off, PinMode::Warn, PinMode::Enforce]),
        proptest::collection::vec(0..4_u8, 4),
    )
        .prop_map(
            |(grants, mode, default_decision, undeclared_tools, pins, pinned)| Case {
                grants,
                mode,
                default_decision,
                undeclared_tools,
                pins,
                pinned,
            },
        )
}

/// Brings the case into force.
async fn enter(stand: &mut Stand, case: &Case, inventory: &Value) {
    let world = &mut stand.world;
    world.settings.mode = case.mode;
    world.settings.default_decision = case.default_decision;
    world.settings.undeclared_tools = case.undeclared_tools;
    world.settings.pins = case.pins;
    let named = |(n, spec): (usize, &MCPAccessGrantSpec)| {
        MCPAccessGrant::new(&format!("grant-{n}"), spec.clone())
    };
    world.grants = case.grants.iter().enumerate().map(named).collect();
    let definitions = inventory["tools"]["definitions"].as_array().unwrap();
    for (tool, pinned) in world.server.spec.tools.iter_mut().zip(&case.pinned) {
        let found = definitions.iter().find(|d| d["name"] == tool.name.as_str());
        let right = found.unwrap()["hash"].as_str().unwrap().to_owned();
        let wrong = format!("sha256:{}", "0".repeat(64));
        tool.pin = match pinned {
            0 => None,
            1 => Some(Pins::One(right)),
            2 => Some(Pins::One(wrong)),
            _ => Some(Pins::Many(vec![wrong, right])),
        };
    }
    stand.publish();
    let line = format!("mcp_gateway_policy_sequence {}\n", stand.world.sequence());
    let in_force = || async { stand.admin("/metrics").await.body.contains(&line) };
    stand.until("the bundle is in force", in_force).await;
}

/// The names in every page of one of alice's lists.
async fn listed(
    stand: &Stand,
    session: &str,
    method: &str,
    member: &str,
    key: &str,
) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut params = json!({});
    loop {
        let result = ask(stand, session, method, params).await["result"].take();
        for entry in result[member].as_array().unwrap() {
            names.insert(entry[key].as_str().unwrap().to_owned());
        }
        match result["nextCursor"].as_str() {
            Some(cursor) => params = json!({ "cursor": cursor }),
            None => return names,
        }
    }
}

async fn ask(stand: &Stand, session: &str, method: &str, params: Value) -> Value {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let headers = [("mcp-session-id", session)];
    let reply = stand.post("alice", &headers, &body.to_string()).await;
    assert_eq!(reply.status, StatusCode::OK, "{method} {reply:?}");
    reply.message()
}

/// What passes of `names`, each asked for by `params`. What the server says to it does not matter.
async fn usable(
    stand: &Stand,
    session: &str,
    method: &str,
    names: &[String],
    params: impl Fn(&str) -> Value,
) -> BTreeSet<String> {
    let mut usable = BTreeSet::new();
    for name in names {
        let answer = ask(stand, session, method, params(name)).await;
        if answer["error"]["data"]["reason"].is_null() {
            usable.insert(name.clone());
        }
    }
    usable
}

/// Arguments that no tool of the server takes, so that calls end at once.
fn call(name: &str) -> Value {
    let keys = [
        "message",
        "duration",
        "steps",
        "a",
        "b",
        "data",
        "name",
        "location",
        "resourceType",
        "messageType",
        "count",
        "topic",
        "resourceId",
    ];
    let wrong: serde_json::Map<String, Value> = keys
        .iter()
        .map(|key| ((*key).to_owned(), json!({})))
        .collect();
    json!({ "name": name, "arguments": wrong })
}

fn names(inventory: &Value, member: &str) -> Vec<String> {
    let names = inventory[member]["names"].as_array().unwrap();
    names
        .iter()
        .map(|name| name.as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn what_is_listed_is_what_can_be_called() {
    let Some(path) = everything() else { return };
    let mut stand = Stand::with_everything(World::new(), &path).await;
    let found = || async { stand.admin("/inventory").await.status == StatusCode::OK };
    stand.until("the inventory is taken", found).await;
    let inventory = stand.admin("/inventory").await.message();
    let session = stand.initialize("alice").await;
    let mut runner = TestRunner::default();
    let began = Instant::now();
    let (mut shown, mut hidden) = (0, 0);
    for n in 0..BUNDLES.1 {
        if n >= BUNDLES.0 && began.elapsed() > BUNDLES.2 {
            break;
        }
        let case = case().new_tree(&mut runner).unwrap().current();
        enter(&mut stand, &case, &inventory).await;
        let template = |uri: &str| json!({ "ref": { "type": "ref/resource", "uri": uri }, "argument": { "name": "resourceId", "value": "1" } });
        for (list, member, key, method, from, params) in [
            (
                "tools/list",
                "tools",
                "name",
                "tools/call",
                "tools",
                &call as &dyn Fn(&str) -> Value,
            ),
            (
                "prompts/list",
                "prompts",
                "name",
                "prompts/get",
                "prompts",
                &|name| json!({ "name": name }),
            ),
            (
                "resources/list",
                "resources",
                "uri",
                "resources/read",
                "resources",
                &|uri| json!({ "uri": uri }),
            ),
            (
                "resources/templates/list",
                "resourceTemplates",
                "uriTemplate",
                "completion/complete",
                "resourceTemplates",
                &template,
            ),
        ] {
            let all = names(&inventory, from);
            let listed = listed(&stand, &session, list, member, key).await;
            let usable = usable(&stand, &session, method, &all, params).await;
            assert_eq!(listed, usable, "{list} and {method} under {case:#?}");
            shown += listed.len();
            hidden += all.len() - listed.len();
        }
    }
    println!("{shown} items were shown, {hidden} were hidden");
    assert!(
        shown > 20 && hidden > 20,
        "the bundles decide something: {shown} {hidden}"
    );
}
