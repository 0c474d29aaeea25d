// The command line that does the same as the export.

const quoted = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);

const editsEdge = ({ shift, feather, decontaminate = true }) => Boolean(shift || feather || !decontaminate);

const ENDINGS = { png_sequence: ".%04d.png", exr_sequence: ".%04d.exr" };

export function outputName(project, options) {
  const stem = project.name.replace(/\.[^.]+$/, "");
  return `${stem}_${options.kind}${ENDINGS[options.format] || `.${options.format}`}`;
}

export function commandLine(state, options) {
  const { project, settings, server, look } = state;
  const video = project.kind === "video";
  const words = ["pullmatte", project.kind, quoted(project.name), quoted(outputName(project, options)), "--prompts prompts.json"];
  if (server.model?.name) words.push(`--model ${quoted(server.model.name)}`);
  if (server.model?.opacity && settings.opacity !== "auto") words.push(`--opacity ${settings.opacity}`);
  if (options.kind === "alpha") words.push("--only-alpha");
  if (options.kind === "composite" || (editsEdge(look) && !look.background)) words.push("--look look.json");
  if (options.bits) words.push(`--bits ${options.bits}`);
  if (options.premultiplied !== null) words.push(`--alpha-mode ${options.premultiplied ? "premultiplied" : "straight"}`);
  if (video && settings.steady) words.push(`--steady ${settings.steady}`);
  if (video && settings.sum_to_one) words.push("--sum-to-one");
  if (video && !options.audio && project.has_audio) words.push("--no-audio");
  if (options.first !== null || options.last !== null) words.push(`--frames ${options.first ?? 0}-${options.last ?? project.frames - 1}`);
  if (options.start_frame !== null) words.push(`--start-frame ${options.start_frame}`);
  return words.join(" ");
}

// What the command line can't say.
export function commandGaps({ look }, options) {
  const gaps = [];
  if (options.objects) gaps.push("it takes all objects of the prompts");
  if (options.kind !== "composite" && editsEdge(look) && look.background) gaps.push("it doesn't edit the edge, as that would take a look without a background");
  return gaps.length ? `Other than this export, ${gaps.join(" and ")}.` : "";
}
