//! MCP0504 bad-pin: a pin is not `sha256:` and 64 hexadecimal digits.

use api::Pins;

use super::{Class, Context, Meta, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0504", "bad-pin", SERVER, Class::Structural)
        .summary("a pin is not `sha256:` and 64 hexadecimal digits"),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((spec, _)) = context.server() else { return };
    for (index, tool) in spec.tools.iter().enumerate() {
        let field = format!("spec.tools[{index}].pin");
        match &tool.pin {
            None => {}
            Some(Pins::One(pin)) => judge(field, pin, report),
            Some(Pins::Many(pins)) => {
                for (pin_index, pin) in pins.iter().enumerate() {
                    judge(format!("{field}[{pin_index}]"), pin, report);
                }
            }
        }
    }
}

fn judge(field: String, pin: &str, report: &mut Report) {
    let hex = pin.strip_prefix("sha256:").unwrap_or_default();
    if hex.len() != 64 || !hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        report.at(field).given(pin).must("must be sha256: and 64 lower-case hexadecimal digits");
    }
}
