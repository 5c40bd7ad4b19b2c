// How the page knows what it shows, and how far it can be trusted.

function tellAbout(run) {
  const { facts } = run;
  const [left, right, low, high] = facts.planes[0].box;
  const inView = ([x, y]) => x >= left && x <= right && y >= low && y <= high;
  const outside = [...run.labels.keys()].filter((index) => !inView(run.placeOf(index))).length;
  const worst = Math.max(...facts.planes.map(({ lattice }) => lattice.worst));
  const mean = Math.max(...facts.planes.map(({ lattice }) => lattice.error));
  const { columns, rows } = facts.planes[0].lattice;
  const accuracy = (share) => (share === null ? "" : `, right on ${(100 * share).toFixed(1)} % of the test images`);
  const said = [
    `Images are decoded beforehand on a lattice of ${columns} × ${rows} places and interpolated between them. ` +
    `Their mean absolute error, measured at up to 1,000 places, is ${(100 * mean).toFixed(2)} % of the full scale, ${(100 * worst).toFixed(2)} % for the worst image.`,
    `Points are the means of ${thousands(run.labels.length)} test images, coloured by class; ${thousands(outside)} lie out of view. ${thousands(run.sampled.length)} of them, with a ring, have their picture here.`,
    `The latent judge is ${facts.judges.latent}${accuracy(facts.judges.latentAccuracy)}. Where no class counts, the plane is void and hatched. Its verdicts are read off a map of ${run.map.columns} × ${run.map.rows} cells.`,
    `The image judge is a network trained on real images alone${accuracy(facts.judges.imageAccuracy)}. It judged the lattice; in between its probabilities are interpolated.`,
    ...(facts.planes[0].plan ? ["Crosses, joined for each named pair, are the places that the prior has for the classes."] : []),
    "A way is direct where the latent judge sees its first class, then its last one, and nothing else but for a flicker of 1/64. " + (facts.morphs
      ? "From class to class it joins two test images that the judge gets right, chosen as dvae morph chooses them, and both judges' verdicts at its 64 steps are exact; over the border it goes through the nearest point of it that makes it direct, if there is one."
      : "From class to class it joins the test images nearest to the two class means that the judge gets right."),
  ];
  run.find(".about ul").replaceChildren(...said.map((text) => {
    const item = document.createElement("li");
    item.textContent = text;
    return item;
  }));
}
