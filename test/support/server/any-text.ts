import fc from 'fast-check';

/** Any text, also with half characters and control characters. It is generated faster than the text of fast-check. */
export function anyText(maxLength = 40): fc.Arbitrary<string> {
  const unit = fc.oneof(fc.nat(0x7f), fc.nat(0xff_ff));
  return fc.array(unit, { maxLength }).map((codes) => String.fromCharCode(...codes));
}
