/* Transom: sends what users do on this page. <script src="https://HOST/transom.js" data-beacon="/e" data-auto async></script> */
(function (w, d, n) {
  "use strict";
  var el = d.currentScript || {}, o = el.dataset || {}, url = new URL(o.beacon || "/e", el.src || d.baseURI);
  var queue = [], timer, user, off = n.globalPrivacyControl === true;
  if (o.key) url.searchParams.set("key", o.key);

  function id() {
    if (w.crypto.randomUUID) return w.crypto.randomUUID();
    return Array.from(w.crypto.getRandomValues(new Uint8Array(16)), function (b) { return (b + 256).toString(16).slice(1); }).join("");
  }
  // The page's own storage, where there is any; "data-remember" keeps the anonymous id beyond the tab.
  function kept(store, name) {
    try {
      var s = w[store], v = s.getItem(name);
      if (!v) s.setItem(name, v = id());
      return v;
    } catch (e) { return id(); }
  }
  var anonymous = off || kept("remember" in o ? "localStorage" : "sessionStorage", "transom.id"), session = off || kept("sessionStorage", "transom.session");

  function context() {
    var u = n.userAgentData, campaign = {}, c = {
      page: { url: w.location.href, path: w.location.pathname, referrer: d.referrer, title: d.title },
      screen: w.screen.width + "x" + w.screen.height, locale: n.language,
      timezone: Intl.DateTimeFormat().resolvedOptions().timeZone, campaign: campaign, webdriver: !!n.webdriver
    };
    new URLSearchParams(w.location.search).forEach(function (v, k) { if (/^utm_/.test(k)) campaign[k] = v; });
    if (u) c.userAgentData = { brands: u.brands, mobile: u.mobile, platform: u.platform };
    return c;
  }
  function body(events) { return JSON.stringify({ sentAt: new Date(), events: events }); }
  // Text is sent without a preflight. What did not arrive is sent once more; its ids tell.
  function send(events, again) {
    var retry = function () { if (!again) w.setTimeout(send, 2000, events, true); };
    w.fetch(url, { method: "POST", body: body(events), keepalive: true, credentials: "include" }).then(function (r) {
      if (r.status === 429 || r.status > 499) retry();
    }, retry);
  }
  function flush(leaving) {
    w.clearTimeout(timer);
    timer = 0;
    while (queue.length) {
      var events = queue.splice(0, 20);
      if (leaving !== true || !n.sendBeacon || !n.sendBeacon(url, body(events))) send(events);
    }
  }
  function track(type, properties, detail) {
    if (off) return;
    queue.push(Object.assign({ messageId: id(), anonymousId: anonymous, sessionId: session, userId: user, type: type, timestamp: new Date(), context: context(), properties: properties }, detail));
    if (queue.length > 19) flush();
    else timer = timer || w.setTimeout(flush, 5000);
  }
  d.addEventListener("visibilitychange", function () { if (d.visibilityState === "hidden") flush(true); });
  w.addEventListener("pagehide", function () { flush(true); });
  w.transom = { track: track, flush: flush, identify: function (u) { user = u; } };
  if ("auto" in o) {
    track("user.view");
    d.addEventListener("click", function (e) {
      var t = e.target.closest && e.target.closest("a,button,[data-track]");
      if (t) track("user.click", undefined, { click: { target: t.dataset.track || t.id || t.localName, x: e.clientX | 0, y: e.clientY | 0 } });
    }, true);
  }
})(window, document, navigator);
