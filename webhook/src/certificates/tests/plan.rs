//! The leader's decisions, one by one.

use std::time::Instant;

use super::super::authority::{CA_LIFETIME, Error};
use super::super::rotation::{OVERLAP, Rotation, SETTLE, Step};
use super::*;

/// A clock that both hands follow.
struct Clock(Instant);

impl Clock {
    fn at(&self, seconds: u64) -> Moment {
        Moment {
            wall: after(i64::try_from(seconds).unwrap()),
            steady: self.0 + Duration::from_secs(seconds),
        }
    }
}

fn clock() -> Clock {
    Clock(Instant::now())
}

fn two_thirds() -> u64 {
    CA_LIFETIME.as_secs() / 3 * 2
}

fn staged() -> Contents {
    Contents {
        next: Some(Arc::new(made())),
        ..Contents::sole(made())
    }
}

/// The step for a Secret that can be read.
fn step(rotation: &mut Rotation, found: &Contents, published: bool, now: Moment) -> Option<Step> {
    let (_, step) = rotation
        .plan(Ok(Some(found.clone())), None, published, now)
        .unwrap();
    step
}

#[test]
fn without_a_secret_and_a_memory_a_first_ca_is_made() {
    let (contents, step) = Rotation::default()
        .plan(Ok(None), None, false, clock().at(0))
        .unwrap();
    assert!(matches!(step, Some(Step::Founded)));
    assert!(contents.next.is_none() && contents.previous.is_none());
}

#[test]
fn a_lost_secret_is_written_back_with_a_successor_beside_it() {
    for found in [Ok(None), Err(Error::Missing(PRIVATE_KEY))] {
        let known = Contents::sole(made());
        let (contents, step) = Rotation::default()
            .plan(found, Some(&known), false, clock().at(0))
            .unwrap();
        assert!(matches!(step, Some(Step::Restored { .. })));
        assert_eq!(contents.current.root(), known.current.root());
        assert!(contents.next.is_some());
    }
}

#[test]
fn a_secret_lost_during_a_rotation_keeps_the_successor_that_is_published_already() {
    let known = staged();
    let (contents, _) = Rotation::default()
        .plan(Ok(None), Some(&known), false, clock().at(0))
        .unwrap();
    assert_eq!(contents.entries(), known.entries());
}

#[test]
fn a_good_ca_is_kept_until_two_thirds_of_its_life_are_over() {
    let (mut rotation, clock) = (Rotation::default(), clock());
    let contents = Contents::sole(made());
    let due = two_thirds();
    assert!(step(&mut rotation, &contents, true, clock.at(due - 86_400)).is_none());
    let staged = step(&mut rotation, &contents, true, clock.at(due + 86_400));
    assert!(matches!(staged, Some(Step::Staged)));
}

#[test]
fn the_successor_is_promoted_when_every_bundle_has_held_it_long_enough() {
    let (mut rotation, clock, contents) = (Rotation::default(), clock(), staged());
    let settle = SETTLE.as_secs();
    assert!(step(&mut rotation, &contents, false, clock.at(0)).is_none());
    assert!(step(&mut rotation, &contents, true, clock.at(settle)).is_none());
    assert!(step(&mut rotation, &contents, true, clock.at(2 * settle - 1)).is_none());
    let promoted = step(&mut rotation, &contents, true, clock.at(2 * settle));
    assert!(matches!(promoted, Some(Step::Promoted)));
}

#[test]
fn an_edited_bundle_begins_the_wait_again() {
    let (mut rotation, clock, contents) = (Rotation::default(), clock(), staged());
    let settle = SETTLE.as_secs();
    step(&mut rotation, &contents, true, clock.at(0));
    step(&mut rotation, &contents, false, clock.at(settle / 2));
    step(&mut rotation, &contents, true, clock.at(settle / 2 + 5));
    assert!(step(&mut rotation, &contents, true, clock.at(settle)).is_none());
    let promoted = step(&mut rotation, &contents, true, clock.at(settle * 3 / 2 + 5));
    assert!(matches!(promoted, Some(Step::Promoted)));
}

#[test]
fn another_successor_waits_for_itself() {
    let (mut rotation, clock) = (Rotation::default(), clock());
    step(&mut rotation, &staged(), true, clock.at(0));
    let other = step(&mut rotation, &staged(), true, clock.at(SETTLE.as_secs()));
    assert!(other.is_none());
}

#[test]
fn the_previous_ca_is_trusted_for_the_overlap_and_then_retired() {
    let (mut rotation, clock) = (Rotation::default(), clock());
    let contents = Contents {
        previous: Some(made().root().clone()),
        ..Contents::sole(made())
    };
    let overlap = OVERLAP.as_secs();
    assert!(step(&mut rotation, &contents, true, clock.at(0)).is_none());
    assert!(step(&mut rotation, &contents, true, clock.at(overlap - 1)).is_none());
    let retired = step(&mut rotation, &contents, true, clock.at(overlap));
    assert!(matches!(retired, Some(Step::Retired)));
}

#[test]
fn a_ca_that_has_ended_is_replaced_at_once_by_its_successor_if_there_is_one() {
    let over = clock().at(CA_LIFETIME.as_secs() + 1);
    let alone = Contents::sole(made());
    let (contents, step) = Rotation::default()
        .plan(Ok(Some(alone.clone())), None, true, over)
        .unwrap();
    assert!(matches!(step, Some(Step::Replaced)));
    assert_ne!(contents.current.root(), alone.current.root());

    let young = Authority::generate(after(300 * DAY)).unwrap();
    let next = Contents {
        next: Some(Arc::new(young)),
        ..alone
    };
    let (contents, _) = Rotation::default()
        .plan(Ok(Some(next.clone())), None, true, over)
        .unwrap();
    assert_eq!(contents.current.root(), next.next.unwrap().root());
}

#[test]
fn a_ca_that_has_ended_is_not_written_back() {
    let known = Contents::sole(made());
    let over = clock().at(CA_LIFETIME.as_secs() + 1);
    let (contents, step) = Rotation::default()
        .plan(Ok(None), Some(&known), true, over)
        .unwrap();
    assert!(matches!(step, Some(Step::Founded)));
    assert_ne!(contents.current.root(), known.current.root());
}
