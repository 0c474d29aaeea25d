// The studio's HTTP API: requests, uploads with progress, and server-sent events.

export class ApiError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

async function sentence(response) {
  try {
    return (await response.json()).error || `The server answered ${response.status}.`;
  } catch {
    return `The server answered ${response.status} ${response.statusText}.`;
  }
}

async function send(url, options = {}) {
  let response;
  try {
    response = await fetch(url, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The server can't be reached; is pullmatte still running?", 0);
  }
  if (!response.ok) throw new ApiError(await sentence(response), response.status);
  return response;
}

async function json(method, url, body, signal) {
  const options = { method, signal };
  if (body !== undefined) {
    options.headers = { "Content-Type": "application/json" };
    options.body = JSON.stringify(body);
  }
  const response = await send(url, options);
  return response.status === 204 ? null : response.json();
}

const project = (id) => `/api/projects/${encodeURIComponent(id)}`;

// Uploads go through XMLHttpRequest, as fetch doesn't tell how far it is.
function upload(method, url, file, progress, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(method, url);
    request.responseType = "json";
    request.upload.onprogress = (event) => event.lengthComputable && progress?.(event.loaded / event.total);
    request.onload = () => {
      if (request.status < 300) resolve(request.response);
      else reject(new ApiError(request.response?.error || `The server answered ${request.status}.`, request.status));
    };
    request.onerror = () => reject(new ApiError("The upload broke off; is pullmatte still running?", 0));
    request.onabort = () => reject(new DOMException("cancelled", "AbortError"));
    signal?.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}

export const api = {
  state: () => json("GET", "/api/state"),
  projects: () => json("GET", "/api/projects"),
  project: (id) => json("GET", project(id)),
  update: (id, values) => json("PUT", project(id), values),
  remove: (id) => json("DELETE", project(id)),
  create: (file, progress, signal) =>
    upload("POST", `/api/projects?name=${encodeURIComponent(file.name || "pasted.png")}`, file, progress, signal),
  savePrompts: (id, file) => json("PUT", `${project(id)}/prompts`, file),
  propagate: (id, direction) => json("POST", `${project(id)}/propagate`, { direction }),
  lock: (id, body) => json("POST", `${project(id)}/locks`, body),
  startExport: (id, body) => json("POST", `${project(id)}/export`, body),
  cancel: (job) => json("POST", `/api/jobs/${encodeURIComponent(job)}/cancel`),
  putBackground: (id, file, progress) =>
    upload("PUT", `${project(id)}/background?name=${encodeURIComponent(file.name || "background.png")}`, file, progress),

  frameUrl: (id, n, height) => `${project(id)}/frames/${n}.jpg${height ? `?height=${height}` : ""}`,
  backgroundUrl: (id, name) => `${project(id)}/background/${encodeURIComponent(name)}`,

  async blob(url, signal) {
    return (await send(url, { signal })).blob();
  },

  // A missing result is an answer here, not an error.
  async resultOrNull(url, signal) {
    try {
      return await this.blob(url, signal);
    } catch (error) {
      if (error.status === 404) return null;
      throw error;
    }
  },

  alpha(id, n, object, signal) {
    return this.resultOrNull(`${project(id)}/frames/${n}/alpha.png?object=${encodeURIComponent(object)}`, signal);
  },

  foreground(id, n, object, signal) {
    return this.resultOrNull(`${project(id)}/frames/${n}/foreground.jpg?object=${encodeURIComponent(object)}`, signal);
  },

  async matte(id, body, signal) {
    const response = await send(`${project(id)}/matte`, {
      method: "POST", signal, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    });
    return {
      blob: await response.blob(),
      seconds: Number(response.headers.get("X-Model-Seconds")) || 0,
      coverage: Number(response.headers.get("X-Coverage")) || 0,
    };
  },
};

// EventSource gives up for good on some errors, so a closed one is opened anew.
export function listen(handlers, { lost, found }) {
  let broken = false;
  const open = () => {
    const source = new EventSource("/api/events");
    source.onopen = () => { if (broken) found(); broken = false; };
    source.onerror = () => {
      if (!broken) lost();
      broken = true;
      if (source.readyState === EventSource.CLOSED) setTimeout(open, 2000);
    };
    for (const [name, run] of Object.entries(handlers)) {
      source.addEventListener(name, (event) => run(JSON.parse(event.data)));
    }
  };
  open();
}
