//! What is answered to requests that the API server sends.

use super::*;

#[tokio::test]
async fn a_bad_server_is_refused_at_both_doors_with_every_finding() {
    for path in ["/mutate", "/validate"] {
        let response = ask(&app(), path, &review("CREATE", Some(&bad()), None)).await;
        assert_eq!(response["allowed"], false, "{path}");
        assert!(response.get("patch").is_none());
        let status = &response["status"];
        assert_eq!(
            (status["code"].as_u64(), status["reason"].as_str()),
            (Some(422), Some("Invalid"))
        );
        assert_eq!(status["details"]["kind"], "MCPServer");
        assert_eq!(status["details"]["name"], "bad");
        assert_eq!(status["details"]["group"], "kubectl-mcp.dev");
        let codes = codes_of(&response);
        for code in ["MCP0102", "MCP0105", "MCP0204", "MCP0304", "MCP0308"] {
            assert!(
                codes.contains(&code.to_owned()),
                "{path}: {code} is not among {codes:?}"
            );
            let causes = status["details"]["causes"].as_array().unwrap();
            let cause = causes
                .iter()
                .find(|cause| cause["message"].as_str().unwrap().contains(code))
                .unwrap();
            assert!(
                cause["field"].as_str().unwrap().starts_with("spec."),
                "{cause}"
            );
            assert_eq!(cause["reason"], "FieldValueInvalid");
            assert!(status["message"].as_str().unwrap().contains(code));
        }
        assert!(!response.to_string().contains("s3cr3t-value"));
    }
}

#[tokio::test]
async fn a_good_server_is_defaulted_and_what_comes_out_is_admitted() {
    let app = app();
    let response = ask(&app, "/mutate", &review("CREATE", Some(&good()), None)).await;
    assert_eq!(response["allowed"], true, "{response}");
    let object = apply(&good(), &response);
    assert_eq!(object["spec"]["ingressHost"], "mcp.example.test");
    assert_eq!(
        object["metadata"]["annotations"]["kubectl-mcp.dev/requested-by"],
        "alice"
    );
    let response = ask(&app, "/validate", &review("CREATE", Some(&object), None)).await;
    assert_eq!(response["allowed"], true, "{response}");
    assert!(response.get("patch").is_none() && response.get("patchType").is_none());
}

#[tokio::test]
async fn mutating_twice_changes_nothing_the_second_time() {
    let app = app();
    let first = ask(&app, "/mutate", &review("CREATE", Some(&good()), None)).await;
    let object = apply(&good(), &first);
    let second = ask(&app, "/mutate", &review("CREATE", Some(&object), None)).await;
    assert_eq!(
        (second["allowed"].as_bool(), second.get("patch")),
        (Some(true), None)
    );
}

#[tokio::test]
async fn managed_fields_are_no_part_of_the_patch() {
    let mut object = good();
    object["metadata"]["managedFields"] = json!([{"manager": "kubectl"}]);
    let response = ask(&app(), "/mutate", &review("CREATE", Some(&object), None)).await;
    assert!(apply(&object, &response)["metadata"]["managedFields"].is_array());
}

#[tokio::test]
async fn a_dry_run_gets_the_same_answer() {
    for object in [good(), bad()] {
        let mut review = review("CREATE", Some(&object), None);
        let real = ask(&app(), "/mutate", &review).await;
        review["request"]["dryRun"] = true.into();
        assert_eq!(ask(&app(), "/mutate", &review).await, real);
    }
}

#[tokio::test]
async fn a_deletion_is_judged_and_never_patched() {
    for path in ["/mutate", "/validate"] {
        let response = ask(&app(), path, &review("DELETE", None, Some(&stored()))).await;
        assert_eq!(
            (response["allowed"].as_bool(), response.get("patch")),
            (Some(true), None),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_terminating_object_may_lose_its_finalizers_but_keeps_its_spec() {
    let app = app();
    let mut old = stored();
    old["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    old["metadata"]["finalizers"] = json!(["a.test/b"]);
    old["spec"]["image"] = "elsewhere.test/x:1".into();
    let mut new = old.clone();
    new["metadata"]["finalizers"] = json!([]);
    for path in ["/mutate", "/validate"] {
        let response = ask(&app, path, &review("UPDATE", Some(&new), Some(&old))).await;
        assert_eq!(response["allowed"], true, "{path}: {response}");
    }
    new["spec"]["image"] = "elsewhere.test/y:1".into();
    let response = ask(&app, "/validate", &review("UPDATE", Some(&new), Some(&old))).await;
    assert_eq!(response["allowed"], false, "{response}");
}

#[tokio::test]
async fn a_tightened_policy_does_not_block_a_change_of_labels() {
    let mut old = stored();
    old["spec"]["image"] = "elsewhere.test/x:1".into();
    let mut new = old.clone();
    new["metadata"]["labels"] = json!({"a": "b"});
    let response = ask(
        &app(),
        "/validate",
        &review("UPDATE", Some(&new), Some(&old)),
    )
    .await;
    assert_eq!(response["allowed"], true, "{response}");
    let warnings = response["warnings"].as_array().unwrap();
    assert!(
        warnings
            .iter()
            .any(|warning| warning.as_str().unwrap().starts_with("MCP0102")),
        "{warnings:?}"
    );
    assert!(
        warnings
            .iter()
            .all(|warning| warning.as_str().unwrap().chars().count() <= 120),
        "{warnings:?}"
    );
}

fn scale_review(name: &str, replicas: &Value) -> Value {
    let scale = json!({"apiVersion": "autoscaling/v1", "kind": "Scale",
        "metadata": {"name": name, "namespace": "team-a"}, "spec": {"replicas": replicas}});
    let mut review = review("UPDATE", Some(&good()), Some(&good()));
    review["request"]["kind"] = json!({"group": "autoscaling", "version": "v1", "kind": "Scale"});
    review["request"]["subResource"] = "scale".into();
    review["request"]["name"] = name.into();
    review["request"]["object"] = scale.clone();
    review["request"]["oldObject"] = scale;
    review
}

#[tokio::test]
async fn scaling_is_judged_against_the_stored_server() {
    let app = app();
    for replicas in [0, 3] {
        let response = ask(
            &app,
            "/validate",
            &scale_review("weather", &json!(replicas)),
        )
        .await;
        assert_eq!(response["allowed"], true, "{response}");
    }
    for replicas in [json!(-1), json!(1_000_000), json!("many")] {
        let response = ask(&app, "/validate", &scale_review("weather", &replicas)).await;
        assert_eq!(response["allowed"], false, "{replicas}: {response}");
        assert_eq!(
            response["status"]["details"]["causes"][0]["field"],
            "spec.replicas"
        );
    }
    let response = ask(&app, "/validate", &scale_review("unseen", &json!(1))).await;
    assert_eq!(response["status"]["code"], 503);
}

#[tokio::test]
async fn a_status_passes_and_other_subresources_do_not() {
    let mut review = review("UPDATE", Some(&stored()), Some(&stored()));
    review["request"]["subResource"] = "status".into();
    assert_eq!(ask(&app(), "/validate", &review).await["allowed"], true);
    review["request"]["subResource"] = "exec".into();
    assert_eq!(ask(&app(), "/validate", &review).await["allowed"], false);
}

#[tokio::test]
async fn what_is_not_ours_to_judge_is_refused_with_a_reason() {
    let (known, mut kind, mut version, mut group, mut operation) = {
        let review = review("CREATE", Some(&good()), None);
        (
            review.clone(),
            review.clone(),
            review.clone(),
            review.clone(),
            review,
        )
    };
    assert_eq!(ask(&app(), "/mutate", &known).await["allowed"], true);
    kind["request"]["kind"]["kind"] = "MCPTool".into();
    version["request"]["kind"]["version"] = "v2".into();
    group["request"]["resource"]["group"] = "apps".into();
    operation["request"]["operation"] = "CONNECT".into();
    for (review, word) in [
        (kind, "MCPTool"),
        (version, "v2"),
        (group, "apps"),
        (operation, "CONNECT"),
    ] {
        let response = ask(&app(), "/validate", &review).await;
        assert_eq!(
            (
                response["allowed"].as_bool(),
                response["status"]["code"].as_u64()
            ),
            (Some(false), Some(400))
        );
        assert!(
            response["status"]["message"]
                .as_str()
                .unwrap()
                .contains(word),
            "{response}"
        );
    }
}

#[tokio::test]
async fn an_object_of_another_kind_than_the_request_says_is_refused() {
    let mut review = review("CREATE", Some(&good()), None);
    review["request"]["object"] = policy();
    assert_eq!(
        ask(&app(), "/validate", &review).await["status"]["code"],
        400
    );
    review["request"]["object"] = json!("text");
    assert_eq!(
        ask(&app(), "/validate", &review).await["status"]["code"],
        400
    );
    review["request"]["object"] = Value::Null;
    assert_eq!(
        ask(&app(), "/validate", &review).await["status"]["code"],
        400
    );
}

#[tokio::test]
async fn a_session_for_somebody_else_needs_the_answer_yes() {
    let review = review("CREATE", Some(&session("bob")), None);
    let yes = app_with(asker(Some(YES), Duration::from_millis(500)), 8);
    let response = ask(&yes, "/validate", &review).await;
    assert_eq!(response["allowed"], true, "{response}");
    let response = ask(&app(), "/validate", &review).await;
    assert_eq!(response["allowed"], false, "{response}");
    assert!(
        codes_of(&response).contains(&"MCP0701".to_owned()),
        "{response}"
    );
    let silent = app_with(asker(None, Duration::from_millis(20)), 8);
    let response = ask(&silent, "/validate", &review).await;
    assert_eq!(response["allowed"], false, "{response}");
    assert!(
        response["status"]["message"]
            .as_str()
            .unwrap()
            .contains("did not answer"),
        "{response}"
    );
}
