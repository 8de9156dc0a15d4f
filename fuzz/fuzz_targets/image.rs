//! An image reference: what is taken can be taken apart and put together again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rules::parse::image::ImageRef;

fuzz_target!(|text: &str| {
    if let Ok(image) = ImageRef::parse(text) {
        let mut again = format!("{}/{}", image.host(), image.path());
        if let Some(tag) = image.tag() {
            again = format!("{again}:{tag}");
        }
        if let Some(digest) = image.digest() {
            again = format!("{again}@{digest}");
        }
        let parsed = ImageRef::parse(&again).expect("the whole form of an image is one");
        assert_eq!(
            (parsed.host(), parsed.path(), parsed.tag(), parsed.digest()),
            (image.host(), image.path(), image.tag(), image.digest())
        );
        assert!(image.matches(image.host()));
    }
});
