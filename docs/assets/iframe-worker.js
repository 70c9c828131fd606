// Browsers start no worker for a page that is opened as a file. Then a hidden frame runs the worker's script: it has a
// scope of its own, and what is posted reaches the other side as a message.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      const frame = document.createElement("iframe")
      frame.hidden = true
      document.documentElement.append(frame)
      this.scope = frame.contentWindow
      this.started = new Promise(start => {
        const script = frame.contentDocument.createElement("script")
        script.src = url
        script.onload = start
        this.scope.postMessage = data => this.dispatchEvent(new MessageEvent("message", { data }))
        frame.contentDocument.body.append(script)
      })
    }
    postMessage(data) {
      this.started.then(() => this.scope.dispatchEvent(new this.scope.MessageEvent("message", { data })))
    }
  }
}
