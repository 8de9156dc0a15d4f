mod handover;
mod plan;

use daemon::tls::Certificate;
use k8s_openapi::ByteString;

use super::contents::{Contents, PRIVATE_KEY};
use super::*;

const DAY: i64 = 86_400;

fn follower() -> Follower {
    let names = vec!["a.test".to_owned()];
    Follower::new(
        names,
        Certificate::default(),
        Metrics::default(),
        Known::default(),
    )
}

fn secret(contents: &Contents) -> Secret {
    Secret {
        data: Some(contents.entries()),
        ..Secret::default()
    }
}

fn now() -> Timestamp {
    Timestamp::from_second(1_790_000_000).unwrap()
}

fn made() -> Authority {
    Authority::generate(now()).unwrap()
}

fn after(seconds: i64) -> Timestamp {
    Timestamp::from_second(now().as_second() + seconds).unwrap()
}

#[test]
fn a_leaf_is_signed_once_for_the_same_ca() {
    let mut follower = follower();
    let ca = secret(&Contents::sole(made()));
    follower.take(&ca, now()).unwrap();
    let first = follower.certificate.leaf().unwrap();
    follower.take(&ca, now()).unwrap();
    follower.renew(now()).unwrap();
    assert_eq!(follower.certificate.leaf(), Some(first));
}

#[test]
fn a_leaf_is_renewed_at_two_thirds_of_its_life_without_a_look_at_the_secret() {
    let mut follower = follower();
    follower
        .take(&secret(&Contents::sole(made())), now())
        .unwrap();
    let first = follower.certificate.leaf().unwrap();
    follower.renew(after(4 * DAY)).unwrap();
    assert_eq!(follower.certificate.leaf().as_ref(), Some(&first));
    follower.renew(after(5 * DAY)).unwrap();
    assert_ne!(follower.certificate.leaf(), Some(first));
}

#[test]
fn an_unusable_secret_leaves_the_leaf_in_place_and_the_good_ca_known() {
    let mut follower = follower();
    let good = Contents::sole(made());
    follower.take(&secret(&good), now()).unwrap();
    let first = follower.certificate.leaf().unwrap();
    let mut broken = secret(&Contents::sole(made()));
    let entries = broken.data.as_mut().unwrap();
    entries.insert(PRIVATE_KEY.to_owned(), ByteString(b"junk".to_vec()));
    assert!(follower.take(&broken, now()).is_err());
    assert_eq!(follower.certificate.leaf(), Some(first));
    let known = follower.known.load_full().unwrap();
    assert_eq!(known.entries(), good.entries());
}

#[test]
fn the_next_ca_is_not_signed_with_before_it_is_the_present_one() {
    let mut follower = follower();
    let mut contents = Contents::sole(made());
    follower.take(&secret(&contents), now()).unwrap();
    let first = follower.certificate.leaf();
    let next = Arc::new(made());
    contents.next = Some(Arc::clone(&next));
    follower.take(&secret(&contents), now()).unwrap();
    assert_eq!(follower.certificate.leaf(), first);
    contents = Contents {
        previous: Some(contents.current.root().clone()),
        current: next,
        next: None,
    };
    follower.take(&secret(&contents), now()).unwrap();
    assert_ne!(follower.certificate.leaf(), first);
}
