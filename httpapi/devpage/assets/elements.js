// Making elements. Text goes in as text: the page's policy has no way to make HTML of it.

/** An element with properties, attributes (names with a dash, role) and children. */
export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.includes('-') || key === 'role') made.setAttribute(key, value);
    else made[key] = value;
  }
  made.append(...children.filter((child) => child || child === 0));
  return made;
}

/** A key as people see it: its fingerprint, and a colour for each half, so that equal keys look equal. */
export function keyTag(fingerprint) {
  const tag = element('span', { className: 'key' });
  for (const half of fingerprint.split(' ')) {
    const swatch = element('span', { className: 'swatch', 'aria-hidden': 'true' });
    swatch.style.setProperty('--hue', Math.round(parseInt(half, 16) / 65536 * 360));
    tag.append(swatch);
  }
  tag.append(fingerprint);
  return tag;
}

export const count = (n, singular, plural = `${singular}s`) => `${n} ${n === 1 ? singular : plural}`;
