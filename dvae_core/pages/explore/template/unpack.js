// Arrays as dvae_core/pages/explore/packing.py writes them.

const TYPES = {
  uint8: Uint8Array, uint16: Uint16Array, int32: Int32Array, float32: Float32Array,
};

// Older browsers have no fromBase64, which takes a tenth of the time.
function fromBase64(data) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(data);
  const text = atob(data);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

async function unpack(packed) {
  const inflated = new Blob([fromBase64(packed.data)]).stream().pipeThrough(new DecompressionStream("deflate"));
  const array = new TYPES[packed.dtype](await new Response(inflated).arrayBuffer());
  if (packed.differences) {
    const width = array.length / packed.shape[0];
    for (let i = width; i < array.length; i++) array[i] += array[i - width];
  }
  return array;
}
