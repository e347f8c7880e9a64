import fc from 'fast-check';

/** Any text at all, half characters and control characters included; quicker to make than fast-check's own. */
export function anyText(maxLength = 40): fc.Arbitrary<string> {
  const unit = fc.oneof(fc.nat(0x7f), fc.nat(0xff_ff));
  return fc.array(unit, { maxLength }).map((codes) => String.fromCharCode(...codes));
}
