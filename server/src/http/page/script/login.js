'use strict';
// A token behind the # of a link never reaches the server by itself: it is put into the form, and out of the address.
(() => {
  const form = document.querySelector('#login');
  const token = location.hash.slice(1);
  if (!form || !token) return;
  history.replaceState(null, '', location.pathname + location.search);
  form.elements.token.value = token;
  // Any page can lead here. The person says whether this token is to take the place of the login that may be there.
  form.querySelector('button').focus();
})();
