// Arrays as dvae_core/pages/explore/packing.py writes them.

const TYPES = {
  uint8: Uint8Array, uint16: Uint16Array, int32: Int32Array, float32: Float32Array,
};

async function unpack(packed) {
  const text = atob(packed.data);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const inflated = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const array = new TYPES[packed.dtype](await new Response(inflated).arrayBuffer());
  if (packed.differences) {
    const width = array.length / packed.shape[0];
    for (let i = width; i < array.length; i++) array[i] += array[i - width];
  }
  return array;
}
