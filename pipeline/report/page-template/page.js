// The still pictures stay wherever a chart cannot be drawn.
for (const figure of document.querySelectorAll("figure[data-chart]")) {
  const spec = JSON.parse(figure.querySelector("script").textContent);
  const drawn = figure.querySelector(".drawn");
  vegaEmbed(drawn, spec, { renderer: "svg", actions: false, ast: true }).then(() => {
    figure.querySelector(".still").remove();
  });
}
