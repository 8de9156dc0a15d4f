use daemon::tls::Certificate;
use k8s_openapi::ByteString;
use kube::Client;

use super::*;

fn follower() -> Follower {
    let unused = tower::service_fn(|_: http::Request<kube::client::Body>| async {
        Ok::<_, std::convert::Infallible>(http::Response::new(kube::client::Body::empty()))
    });
    let secrets = Api::namespaced(Client::new(unused, "default"), "system");
    Follower::new(
        secrets,
        vec!["a.test".to_owned()],
        Certificate::default(),
        Metrics::default(),
    )
}

fn secret(authority: &Authority, previous: Option<&str>) -> Secret {
    Secret {
        data: Some(authority.to_secret(previous)),
        ..Secret::default()
    }
}

fn now() -> Timestamp {
    Timestamp::now()
}

#[tokio::test]
async fn a_leaf_is_signed_once_for_the_same_ca() {
    let mut follower = follower();
    let ca = Authority::generate(now()).unwrap();
    follower.take(&secret(&ca, None), now()).unwrap();
    let first = follower.certificate.leaf().unwrap();
    follower.take(&secret(&ca, None), now()).unwrap();
    follower.renew(now()).unwrap();
    assert_eq!(follower.certificate.leaf(), Some(first));
}

#[tokio::test]
async fn a_leaf_is_renewed_at_two_thirds_of_its_life_without_a_look_at_the_secret() {
    let mut follower = follower();
    follower
        .take(&secret(&Authority::generate(now()).unwrap(), None), now())
        .unwrap();
    let first = follower.certificate.leaf().unwrap();
    follower
        .renew(Timestamp::from_second(now().as_second() + 5 * 86400).unwrap())
        .unwrap();
    assert_ne!(follower.certificate.leaf(), Some(first));
}

#[tokio::test]
async fn an_unusable_secret_leaves_the_leaf_in_place() {
    let mut follower = follower();
    follower
        .take(&secret(&Authority::generate(now()).unwrap(), None), now())
        .unwrap();
    let first = follower.certificate.leaf().unwrap();
    let mut broken = secret(&Authority::generate(now()).unwrap(), None);
    broken
        .data
        .as_mut()
        .unwrap()
        .insert("tls.key".to_owned(), ByteString(b"junk".to_vec()));
    assert!(follower.take(&broken, now()).is_err());
    assert_eq!(follower.certificate.leaf(), Some(first));
}

#[tokio::test]
async fn a_new_ca_is_used_at_once_unless_the_old_one_is_still_trusted() {
    let mut follower = follower();
    let (old, new, newest) = (
        Authority::generate(now()).unwrap(),
        Authority::generate(now()).unwrap(),
        Authority::generate(now()).unwrap(),
    );
    follower.take(&secret(&old, None), now()).unwrap();
    let first = follower.certificate.leaf();
    follower
        .take(&secret(&new, Some(old.certificate())), now())
        .unwrap();
    assert_eq!(
        follower.certificate.leaf(),
        first,
        "the bundle with the new CA may not be published yet"
    );
    follower.next.as_mut().unwrap().1 -= POLL;
    follower
        .take(&secret(&new, Some(old.certificate())), now())
        .unwrap();
    let second = follower.certificate.leaf();
    assert_ne!(second, first);
    follower.take(&secret(&newest, None), now()).unwrap();
    assert_ne!(follower.certificate.leaf(), second);
}
