// The order in which a participant sees things: drawn from their code, the same on every visit.
"use strict";

// FNV-1a with a final mix, 32 bits.
function hashed(text) {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

// Fisher-Yates, each draw a hash of its own of the seed.
function shuffled(items, seed) {
  const order = [...items];
  for (let last = order.length - 1; last > 0; last--) {
    const drawn = Math.floor((hashed(`${seed}/${last}`) / 2 ** 32) * (last + 1));
    [order[last], order[drawn]] = [order[drawn], order[last]];
  }
  return order;
}
