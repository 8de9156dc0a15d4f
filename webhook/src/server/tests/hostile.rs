//! What nobody should send, and too much of it.

use proptest::prelude::*;

use super::*;

#[tokio::test]
async fn bodies_that_are_no_review_get_400() {
    let no_request =
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}).to_string();
    let mut old = review("CREATE", Some(&good()), None);
    old["apiVersion"] = "admission.k8s.io/v1beta1".into();
    let deep = "[".repeat(100_000);
    for body in [
        String::new(),
        "{".to_owned(),
        "null".to_owned(),
        "[]".to_owned(),
        no_request,
        old.to_string(),
        deep,
    ] {
        assert_eq!(
            send(&app(), "/validate", body).await.status(),
            StatusCode::BAD_REQUEST
        );
    }
}

#[tokio::test]
async fn another_content_type_gets_415_and_another_method_405() {
    let request = Http::post("/mutate")
        .header("content-type", "text/plain")
        .body(Body::from("{}"))
        .unwrap();
    let response = router(app()).oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let response = router(app())
        .oneshot(Http::get("/mutate").body(Body::empty()).unwrap())
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn nine_mebibytes_get_413_announced_or_not() {
    let body = vec![b' '; 9 << 20];
    let announced = Http::post("/validate")
        .header("content-type", "application/json")
        .header("content-length", body.len())
        .body(Body::from(body.clone()))
        .unwrap();
    let response = router(app()).oneshot(announced).await.unwrap();
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let chunks = body
        .chunks(64 << 10)
        .map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec()))
        .collect::<Vec<_>>();
    let streamed = Body::from_stream(futures::stream::iter(chunks));
    assert_eq!(
        send(&app(), "/validate", streamed).await.status(),
        StatusCode::PAYLOAD_TOO_LARGE
    );
}

#[tokio::test]
async fn seven_mebibytes_are_judged() {
    let mut object = good();
    object["spec"]["description"] = "x".repeat(7 << 20).into();
    let response = ask(&app(), "/validate", &review("CREATE", Some(&object), None)).await;
    assert_eq!(response["allowed"], false);
    assert!(
        response.to_string().len() < 100_000,
        "the answer repeats the object"
    );
}

#[tokio::test]
async fn a_body_that_does_not_arrive_gets_408() {
    let mut app = app();
    Arc::get_mut(&mut app).unwrap().body_timeout = Duration::from_millis(20);
    let never = Body::from_stream(futures::stream::pending::<Result<Vec<u8>, std::io::Error>>());
    assert_eq!(
        send(&app, "/validate", never).await.status(),
        StatusCode::REQUEST_TIMEOUT
    );
}

#[tokio::test]
async fn more_requests_than_slots_get_503_at_once_and_the_slot_comes_back() {
    let app = app_with(asker(None, Duration::from_secs(600)), 1);
    let body = review("CREATE", Some(&session("bob")), None).to_string();
    let busy = tokio::spawn({
        let (app, body) = (Arc::clone(&app), body.clone());
        async move { send(&app, "/validate", body).await.status() }
    });
    while app.slots.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        send(&app, "/validate", body.clone()).await.status(),
        StatusCode::SERVICE_UNAVAILABLE
    );
    busy.abort();
    assert!(busy.await.is_err());
    let response = ask(&app, "/mutate", &review("CREATE", Some(&good()), None)).await;
    assert_eq!(response["allowed"], true);
    assert_eq!(app.bodies.available_permits(), BODIES_KIB);
}

#[tokio::test]
async fn before_the_caches_are_filled_nothing_is_judged() {
    let app = app();
    app.published.store(None);
    let body = review("CREATE", Some(&good()), None).to_string();
    assert_eq!(
        send(&app, "/validate", body).await.status(),
        StatusCode::SERVICE_UNAVAILABLE
    );
}

#[tokio::test]
async fn connections_are_closed_only_while_draining() {
    let app = app();
    let body = review("CREATE", Some(&good()), None).to_string();
    assert!(
        send(&app, "/validate", body.clone())
            .await
            .headers()
            .get("connection")
            .is_none()
    );
    app.draining.cancel();
    let response = send(&app, "/validate", body).await;
    assert_eq!(response.headers()["connection"], "close");
    assert_eq!(response.status(), StatusCode::OK);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-zA-Z]{1,8}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Puts something else in one place of a review.
fn spoiled() -> impl Strategy<Value = Value> {
    let places = [
        "/request/object",
        "/request/object/spec",
        "/request/object/metadata",
        "/request/object/spec/image",
        "/request/object/spec/tools",
        "/request/object/spec/tools/0",
        "/request/object/metadata/annotations",
        "/request/oldObject",
        "/request/oldObject/spec",
        "/request/oldObject/metadata",
        "/request/userInfo",
        "/request/kind",
        "/request/name",
        "/request/namespace",
        "/request/operation",
        "/request",
    ];
    let operations = prop::sample::select(vec!["CREATE", "UPDATE", "DELETE"]);
    (
        prop::sample::select(places.to_vec()),
        operations,
        any_json(),
    )
        .prop_map(|(place, operation, junk)| {
            let mut review = review(operation, Some(&stored()), Some(&stored()));
            if let Some(slot) = review.pointer_mut(place) {
                *slot = junk;
            }
            review
        })
}

fn status_of(path: &'static str, body: Vec<u8>) -> (StatusCode, String) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let response = send(&app(), path, body).await;
        let status = response.status();
        let text = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8_lossy(&text).into_owned())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn junk_bytes_are_turned_away(body in prop::collection::vec(any::<u8>(), 0..512)) {
        prop_assert_eq!(status_of("/validate", body).0, StatusCode::BAD_REQUEST);
    }

    #[test]
    fn a_spoiled_review_is_answered_without_a_panic(review in spoiled(), door in 0..2) {
        let path = ["/mutate", "/validate"][usize::try_from(door).unwrap()];
        let (status, text) = status_of(path, review.to_string().into_bytes());
        prop_assert!(status == StatusCode::OK || status == StatusCode::BAD_REQUEST, "{} {}", status, text);
        prop_assert!(!text.contains("InternalError"), "{}", text);
    }
}

#[tokio::test]
async fn a_large_body_waits_for_its_turn_and_a_small_one_does_not() {
    let mut app = app();
    Arc::get_mut(&mut app).unwrap().turn_timeout = Duration::from_millis(1);
    let turn = app.large.acquire().await.unwrap();
    let mut large = good();
    large["spec"]["description"] = "x".repeat(LARGE).into();
    let large = review("CREATE", Some(&large), None).to_string();
    let response = send(&app, "/validate", large.clone()).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    let small = ask(&app, "/mutate", &review("CREATE", Some(&good()), None)).await;
    assert_eq!(small["allowed"], true);
    drop(turn);
    assert_eq!(
        send(&app, "/validate", large).await.status(),
        StatusCode::OK
    );
}
